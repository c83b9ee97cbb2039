"""What one call of `mlforge predict` asks for."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from app.cli.predict.outcome import Exit, Stopped
from app.datasets.kinds import (
    COMPRESSIONS_BY_SUFFIX,
    FORMATS_BY_SUFFIX,
    packing_of,
    suffix_of,
)
from app.enums import FileFormat, OnError, Priority
from app.kit.refs import BadRef, parse_ref

STANDARD: Final = "-"
_MODEL: Final = ".onnx"
_BINARY: Final = (FileFormat.PARQUET, FileFormat.ARROW)


@dataclass(frozen=True, slots=True)
class Wanted:
    model: str
    file: str
    out: str
    outputs: str
    include_inputs: str
    format: FileFormat | None
    output_format: FileFormat | None
    on_error: OnError
    max_failed_rows: int | None
    chunk_rows: int | None
    priority: Priority
    dry_run: bool
    idempotency_key: str
    is_local: bool

    @property
    def is_file_model(self) -> bool:
        """A name that ends so would be a file's, too."""
        return Path(self.model).suffix.lower() == _MODEL

    def files_read(self) -> list[Path]:
        model = [Path(self.model)] if self.is_file_model else []
        return model if self.file == STANDARD else [*model, Path(self.file)]

    def fields(self) -> dict[str, str]:
        """The form of the job, as a server takes it."""
        named: dict[str, object] = {
            "model_id": self.model,
            "outputs": self.outputs,
            "include_inputs": self.include_inputs,
            "format": self.format,
            "output_format": self.output_format,
            "on_error": self.on_error,
            "max_failed_rows": self.max_failed_rows,
            "chunk_rows": self.chunk_rows,
            "priority": self.priority,
            "dry_run": "true" if self.dry_run else None,
        }
        told = {name: value for name, value in named.items() if value is not None}
        return {name: str(value) for name, value in told.items() if value != ""}


def checked(wanted: Wanted) -> Wanted:
    """With the result's format by its name. Raises Stopped where a word can't be."""
    if wanted.file == STANDARD and wanted.format is None:
        raise Stopped(
            Exit.USAGE,
            "What comes from the standard input has no name that tells its format: "
            "give --format csv, ndjson, parquet or arrow.",
        )
    _check_model(wanted)
    _check_key(wanted)
    for file in wanted.files_read():
        if not file.is_file():
            raise Stopped(Exit.NOT_FOUND, f"There is no file {file}.")
    if wanted.out == STANDARD:
        return _onto_standard_output(wanted)
    out = Path(wanted.out)
    if not out.parent.is_dir():
        raise Stopped(Exit.NOT_FOUND, f"There is no folder {out.parent} for {out}.")
    if out.is_dir():
        raise Stopped(Exit.USAGE, f"{out} is a folder: name a file in it.")
    _check_apart(out, wanted)
    return replace(wanted, output_format=wanted.output_format or _format_of(out))


def where_models_are(model: str) -> str:
    """For who meant the other kind."""
    path = Path(model)
    found = "is not there"
    if path.exists():
        found = "is a folder" if path.is_dir() else "does not end with .onnx"
    return (
        "MODEL is the path of an .onnx file, or names a model on the server: an id, "
        f"name, name:version or name@alias. As a path, {model} {found}"
    )


def _check_model(wanted: Wanted) -> None:
    """What is no file and can be no name."""
    if wanted.is_file_model:
        if not Path(wanted.model).is_file():
            told = where_models_are(wanted.model)
            raise Stopped(Exit.NOT_FOUND, f"There is no such model file. {told}.")
        return
    try:
        parse_ref(wanted.model)
    except BadRef as error:
        is_file = Path(wanted.model).is_file()
        raise Stopped(
            Exit.BAD_INPUT if is_file else Exit.NOT_FOUND,
            f"There is no such model. {where_models_are(wanted.model)}; as a name, "
            f"{error}.",
        ) from None


def _check_key(wanted: Wanted) -> None:
    key = wanted.idempotency_key
    if key and (wanted.is_local or wanted.is_file_model):
        raise Stopped(
            Exit.USAGE, "--idempotency-key is for jobs of a server: leave it out here."
        )
    if not key.isascii() or not key.isprintable():
        raise Stopped(
            Exit.USAGE, "--idempotency-key: use printable ASCII letters, as a UUID has."
        )


def sent_name(wanted: Wanted, head: bytes) -> str:
    """What the file is called to those who tell its kind by its name."""
    if wanted.file != STANDARD:
        return Path(wanted.file).name
    return f"stdin.{wanted.format}{suffix_of(packing_of(head))}"


def open_input(wanted: Wanted) -> BinaryIO:
    if wanted.file == STANDARD:
        return sys.stdin.buffer
    try:
        return Path(wanted.file).open("rb")
    except OSError as error:
        raise Stopped(
            Exit.NOT_FOUND, f"{wanted.file} can't be read: {error.strerror}."
        ) from None


def _check_apart(out: Path, wanted: Wanted) -> None:
    """However the path is spelled, and through links."""
    for file in wanted.files_read():
        if out.exists() and out.samefile(file):
            raise Stopped(
                Exit.USAGE,
                f"{out} is {file}, which is read: give the result another name.",
            )


def _format_of(out: Path) -> FileFormat | None:
    """None for a name that is no file's, such as /dev/null."""
    ending = out.suffix.lower()
    if ending in FORMATS_BY_SUFFIX:
        return FORMATS_BY_SUFFIX[ending]
    if out.exists() and not out.is_file():
        return None
    raise Stopped(
        Exit.USAGE,
        f"{out.name} does not say in which format the result is wanted: end it with "
        f"{', '.join(FORMATS_BY_SUFFIX)}, or give --output-format.",
    )


def _onto_standard_output(wanted: Wanted) -> Wanted:
    shown = wanted.output_format or wanted.format or _ending(wanted.file)
    if shown in _BINARY and sys.stdout.isatty():
        raise Stopped(
            Exit.USAGE,
            f"A result in {shown} is not for a terminal: give -o FILE, or "
            "--output-format csv.",
        )
    return wanted


def _ending(file: str) -> FileFormat | None:
    name = Path(file.lower())
    if name.suffix in COMPRESSIONS_BY_SUFFIX:
        name = name.with_suffix("")
    return FORMATS_BY_SUFFIX.get(name.suffix)
