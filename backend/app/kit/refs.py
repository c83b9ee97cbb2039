"""How callers name models: UUID, `name`, `name:version`, `name@alias`."""

import re
from dataclasses import dataclass

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
VERSION_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}"

NAME_RULE = (
    "1 to 128 letters, digits, dots, underscores or dashes, "
    "beginning with a letter or digit"
)
VERSION_RULE = (
    "1 to 50 letters, digits, dots, underscores or dashes, "
    "beginning with a letter or digit"
)

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Id:
    id: str


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class NameVersion:
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class NameAlias:
    name: str
    alias: str


Ref = Id | Name | NameVersion | NameAlias


class BadRef(ValueError):
    """The text names no model, whatever is registered; says what is allowed."""


def parse_ref(text: str) -> Ref:
    """What `text` refers to; raises BadRef."""
    if _UUID.fullmatch(text):
        return Id(text.lower())
    name, version_mark, version = text.partition(":")
    if version_mark:
        return NameVersion(check_name(name), check_version(version))
    name, alias_mark, alias = text.partition("@")
    if alias_mark:
        return NameAlias(check_name(name), check_name(alias, "alias"))
    return Name(check_name(text))


def check_name(text: str, word: str = "model name") -> str:
    """`text` when it may name a model (or, by `word`, an alias); raises BadRef."""
    if _UUID.fullmatch(text):
        raise BadRef(
            f"{word} {_shown(text)} has the form of a UUID, which would be taken "
            "for a model id: choose another one"
        )
    if not _NAME.fullmatch(text):
        raise BadRef(f"{word} {_shown(text)} is not allowed: use {NAME_RULE}")
    return text


def check_version(text: str) -> str:
    """`text` when it may be a version; raises BadRef."""
    if not _VERSION.fullmatch(text):
        raise BadRef(f"version {_shown(text)} is not allowed: use {VERSION_RULE}")
    return text


def name_from_file(file_name: str) -> str:
    """The name a file gives its model: the stem, with what names can't hold as `-`."""
    base = re.split(r"[/\\]", file_name)[-1]
    stem, dot, ending = base.rpartition(".")
    if not dot or not stem or not ending.isalnum():
        stem = base
    name = _NOT_IN_NAMES.sub("-", stem).lstrip("._-")[:128].rstrip("-")
    if not name:
        return "model"
    return f"model-{name}" if _UUID.fullmatch(name) else name


def _shown(text: str) -> str:
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f'"{cut}"' if cut.isprintable() else ascii(cut)
