"""The files of a part: what a span's rows gave."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

import orjson
import pyarrow as pa

from app.datasets.base import PartSummary, Recipe, RowError
from app.datasets.result_schema import ResultSchema
from app.datasets.result_text import TEXTS, text_pieces
from app.datasets.scored import Scored
from app.datasets.tables import given_back
from app.enums import FileFormat

SHOWN_ERRORS: Final = 20
ERRORS: Final = "errors.ndjson"


def file_of(part: Path, suffix: str) -> Path:
    return part.with_name(f"{part.name}.{suffix}")


class PartWriter:
    """`finish` makes the files durable, `discard` removes them."""

    def __init__(self, part: Path, recipe: Recipe) -> None:
        self._part = part
        self._schema = ResultSchema.of(recipe)
        self._format = recipe.result_format
        self._files: list[BinaryIO] = []
        self._rows = self._failed = 0
        self._shown: list[RowError] = []
        self._arrow = pa.ipc.new_stream(
            self._open(FileFormat.ARROW), self._schema.arrow
        )
        self._text = self._open(self._format) if self._format in TEXTS else None
        self._errors: BinaryIO | None = None
        # Nothing that may lie there under this name is ours.
        file_of(part, ERRORS).unlink(missing_ok=True)

    @property
    def failed(self) -> int:
        return self._failed

    @property
    def rows(self) -> int:
        return self._rows

    def write(self, scored: Scored) -> None:
        batch = scored.batch(self._schema)
        self._arrow.write_batch(batch)
        if self._text is not None:
            told = scored.prefixes
            for text in text_pieces(batch, self._schema, self._format, told):
                self._text.write(text)
        if scored.errors:
            if self._errors is None:
                self._errors = self._open(ERRORS)
            self._errors.write(error_lines(scored.errors))
            self._shown += scored.errors[: SHOWN_ERRORS - len(self._shown)]
        self._rows += scored.count
        self._failed += len(scored.errors)

    def finish(self, inference_ms: float) -> PartSummary:
        with given_back():
            self._arrow.close()
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        sync_folder(self._part.parent)
        shown = tuple(self._shown)
        return PartSummary(self._rows, self._failed, round(inference_ms, 3), shown)

    def discard(self) -> None:
        for file in self._files:
            file.close()
            Path(file.name).unlink(missing_ok=True)

    def _open(self, suffix: str) -> BinaryIO:
        file = file_of(self._part, suffix).open("wb")
        self._files.append(file)
        return file


def error_lines(errors: Iterable[RowError]) -> bytes:
    return b"\n".join([*map(_error_line, errors), b""])


def _error_line(error: RowError) -> bytes:
    told = {"line": error.line, "column": error.column, "reason": error.reason}
    if error.text is None:
        return orjson.dumps(told)
    return orjson.dumps({**told, "text": error.text})


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
