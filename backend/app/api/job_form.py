"""The form of a file job: its fields as they come, and what they ask for."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Final, TypeVar

import orjson

from app.datasets.base import FileRequest, Included, Kind
from app.datasets.kinds import kind_of
from app.enums import FileFormat, OnError, Priority
from app.errors import FieldError, InvalidField

Fields = dict[str, str]

FIELDS: Final = (
    "file",
    "source",
    "model_id",
    "outputs",
    "include_inputs",
    "on_error",
    "max_failed_rows",
    "chunk_rows",
    "priority",
    "format",
    "output_format",
    "dry_run",
    "webhook_url",
)
_MOST_CHUNK_ROWS: Final = 10_000_000
_MOST_FAILED_ROWS: Final = 10**15
_MOST_NAMES: Final = 16_384
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
_SHOWN: Final = 80
_PACKED: Final = (".gz", ".zst")

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class FileForm:
    """`format` is None where the file itself has to tell; `source` names an object
    of the store that is to be scored in place of an uploaded file."""

    request: FileRequest
    priority: Priority
    format: FileFormat | None
    source: str | None
    dry_run: bool
    webhook_url: str | None


def check_field(name: str) -> None:
    """Raises InvalidField on a name that is no field of the form."""
    if name not in FIELDS:
        raise _wrong(name[:_SHOWN], f"is no field of a job; use {', '.join(FIELDS)}")


def parse_form(sent: Fields) -> FileForm:
    """Raises InvalidField on a field that breaks its rule. An empty one is as none."""
    fields = {name: text for name, text in sent.items() if text.strip()}
    if "model_id" not in fields:
        raise _wrong(
            "model_id",
            "is missing; give a model's id, name, name:version or name@alias, in curl "
            "-F model_id=…",
        )
    return FileForm(
        request=_request(fields),
        priority=_word(fields, "priority", Priority) or Priority.NORMAL,
        format=_word(fields, "format", FileFormat),
        source=fields.get("source"),
        dry_run=_truth(fields, "dry_run"),
        webhook_url=fields.get("webhook_url"),
    )


def kind_for(form: FileForm, name: str, content_type: str = "") -> Kind:
    """A format that the form names wins over all else; how the file is packed, its
    name or type tell. Raises UnsupportedMediaType where nothing says what it is."""
    if form.format is None:
        return kind_of(content_type, name)
    ending = PurePath(name.lower()).suffix
    return kind_of(None, f"rows.{form.format}{ending if ending in _PACKED else ''}")


def _request(fields: Fields) -> FileRequest:
    return FileRequest(
        ref=fields["model_id"].strip(),
        outputs=_names(fields, "outputs"),
        include_inputs=_included(fields),
        result_format=_word(fields, "output_format", FileFormat),
        on_error=_word(fields, "on_error", OnError) or OnError.RECORD,
        max_failed_rows=_number(fields, "max_failed_rows", 0, _MOST_FAILED_ROWS),
        chunk_rows=_number(fields, "chunk_rows", 1, _MOST_CHUNK_ROWS),
    )


def _included(fields: Fields) -> Included:
    match fields.get("include_inputs", "all").strip():
        case "all":
            return Included()
        case "none":
            return Included(())
    return Included(_names(fields, "include_inputs"))


def _word(fields: Fields, name: str, words: type[Word]) -> Word | None:
    text = fields.get(name)
    if text is None:
        return None
    try:
        return words(text.strip().lower())
    except ValueError:
        wanted = ", ".join(words)
        raise _wrong(name, f"must be one of {wanted}; found {_shown(text)}") from None


def _truth(fields: Fields, name: str) -> bool:
    text = fields.get(name, "false").strip().lower()
    if text not in _TRUTHS:
        raise _wrong(name, f"must be true or false; found {_shown(text)}")
    return _TRUTHS[text]


def _number(fields: Fields, name: str, least: int, most: int) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    digits = text.strip()
    # Not all that `isdigit` takes is read by `int`, nor in any length.
    is_short = digits.isascii() and digits.isdigit() and len(digits) <= len(str(most))
    if not is_short or not least <= int(digits) <= most:
        raise _wrong(
            name, f"must be a whole number from {least} to {most}; found {_shown(text)}"
        )
    return int(digits)


def _names(fields: Fields, name: str) -> tuple[str, ...] | None:
    """From `a,b`, or from `["a", "b"]` for names that hold commas or spaces."""
    text = fields.get(name)
    if text is None:
        return None
    names = _json_names(name, text) if text.lstrip()[:1] == "[" else _cut(text)
    if not names or "" in names:
        raise _wrong(name, f"must not hold an empty name; found {_shown(text)}")
    if len(names) > _MOST_NAMES:
        raise _wrong(name, f"holds {len(names)} names; at most {_MOST_NAMES} are taken")
    twice = next((one for one, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise _wrong(name, f"names {_shown(twice)} twice; name it once")
    return names


def _cut(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _json_names(name: str, text: str) -> tuple[str, ...]:
    try:
        names = orjson.loads(text)
    except orjson.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise _wrong(
            name, f'must be a list such as a,b or ["a", "b"]; found {_shown(text)}'
        )
    return tuple(names)


def _wrong(name: str, rule: str) -> InvalidField:
    detail = f"{name}: {rule}."
    return InvalidField(detail, errors=[FieldError(name, rule)])


def _shown(text: str) -> str:
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return orjson.dumps(cut).decode() if cut.isprintable() else ascii(cut)
