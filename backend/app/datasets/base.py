"""What a file job is asked, how it is cut up, and what each piece gives."""

import base64
from dataclasses import dataclass
from typing import Self

import orjson

from app.enums import Compression, FileFormat, OnError


@dataclass(frozen=True, slots=True)
class Kind:
    """How the bytes of a file are to be read."""

    format: FileFormat
    compression: Compression = Compression.NONE


@dataclass(frozen=True, slots=True)
class Included:
    """The input columns that the result repeats: `names`, or all of them where None."""

    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What a caller may choose. None leaves the choice to us."""

    ref: str
    outputs: tuple[str, ...] | None = None
    include_inputs: Included = Included()
    result_format: FileFormat | None = None
    on_error: OnError = OnError.RECORD
    max_failed_rows: int | None = None
    chunk_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that fixes a job's result, as its row keeps it.

    `columns` are the input's, in its order. `schema` is the result's, as an Arrow IPC
    schema message; `widths` says over how many CSV cells each output is spread.
    """

    kind: Kind
    result_format: FileFormat
    outputs: tuple[str, ...] | None
    included: tuple[str, ...]
    columns: tuple[str, ...]
    schema: bytes
    widths: tuple[int, ...]
    chunk_rows: int
    batch_rows: int
    on_error: OnError
    max_failed_rows: int | None

    def to_json(self) -> str:
        fields = {
            "format": self.kind.format,
            "compression": self.kind.compression,
            "result_format": self.result_format,
            "outputs": self.outputs,
            "included": self.included,
            "columns": self.columns,
            "schema": base64.b64encode(self.schema).decode(),
            "widths": self.widths,
            "chunk_rows": self.chunk_rows,
            "batch_rows": self.batch_rows,
            "on_error": self.on_error,
            "max_failed_rows": self.max_failed_rows,
        }
        return orjson.dumps(fields).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = orjson.loads(text)
        outputs = fields["outputs"]
        return cls(
            kind=Kind(FileFormat(fields["format"]), Compression(fields["compression"])),
            result_format=FileFormat(fields["result_format"]),
            outputs=None if outputs is None else tuple(outputs),
            included=tuple(fields["included"]),
            columns=tuple(fields["columns"]),
            schema=base64.b64decode(fields["schema"]),
            widths=tuple(fields["widths"]),
            chunk_rows=fields["chunk_rows"],
            batch_rows=fields["batch_rows"],
            on_error=OnError(fields["on_error"]),
            max_failed_rows=fields["max_failed_rows"],
        )


@dataclass(frozen=True, slots=True)
class Span:
    """A run of rows of a plain file.

    `start` and `end` are bytes of a text file, row groups of a Parquet file or record
    batches of an Arrow file. `first_line` is the line its first row begins on, from 1;
    in the binary formats the row's number. `rows` is exact there, else the most it
    can be.
    """

    start: int
    end: int
    first_line: int
    rows: int


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row has no prediction; `column` where one value is to blame, `text`, what
    the row began with, where it can't be read."""

    line: int
    column: str | None
    reason: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What a span's part holds. `errors` are its first few."""

    rows: int
    failed: int
    inference_ms: float
    errors: tuple[RowError, ...] = ()


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of a finished job, by its name in the job's folder."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What a look at the head of a file tells before anything is promised.

    The estimates are for all of the file; `sample` is the first predictions as NDJSON.
    """

    version_id: str
    model_name: str
    model_version: str
    recipe: Recipe
    rows: int
    seconds: float
    result_bytes: int
    sample: bytes
