"""What callers set on a version, checked as it is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.enums import VersionStatus
from app.kit.refs import BadRef, check_name, check_version
from app.services.metadata import (
    DESCRIPTION_LETTERS,
    check_metadata,
    check_text,
)
from app.services.refusals import refused


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Raises InvalidField unless all of it may stand; no `version`: the next one.

    `feature_names` are checked against the model once it is known.
    """

    name: str
    version: str | None = None
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    feature_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        model_name(self.name)
        if self.version is not None:
            version_name(self.version)
        _check_description(self.description)
        _check_own_metadata(self.metadata)


@dataclass(frozen=True, slots=True)
class VersionPatch:
    """What to change; None leaves it, but for a description that `sets_description`."""

    description: str | None = None
    sets_description: bool = False
    metadata: dict[str, Any] | None = None
    is_default: bool | None = None
    status: VersionStatus | None = None

    def __post_init__(self) -> None:
        _check_description(self.description)
        if self.metadata is not None:
            _check_own_metadata(self.metadata)


def model_name(text: str) -> str:
    try:
        return check_name(text)
    except BadRef as exc:
        raise refused("name", str(exc)) from None


def alias_name(text: str) -> str:
    try:
        return check_name(text, "alias")
    except BadRef as exc:
        raise refused("alias", str(exc)) from None


def version_name(text: str) -> str:
    try:
        return check_version(text)
    except BadRef as exc:
        raise refused("version", str(exc)) from None


def search_text(text: str) -> str:
    return check_text("search", text, max_letters=200)


def _check_own_metadata(metadata: dict[str, Any]) -> None:
    if "feature_names" in metadata:
        raise refused(
            "model_metadata.feature_names",
            "feature_names are no metadata: they name the columns of the model's input "
            "and are checked against it, so send them to POST /models/{ref}/register",
        )
    check_metadata("model_metadata", metadata)


def _check_description(text: str | None) -> None:
    if text is not None:
        check_text("description", text, max_letters=DESCRIPTION_LETTERS)
