"""Blocks of NDJSON: an object a line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
import pyarrow as pa

from app.codecs.base import Target
from app.codecs.coercion import in_column
from app.codecs.features import Row, build_table
from app.datasets.base import Span
from app.datasets.blocks import Block, Fault, place, shown
from app.datasets.feature_types import feature_type, numbers_as
from app.datasets.limits import FileLimits
from app.datasets.text_pieces import Extent, Piece, pieces
from app.datasets.text_records import ndjson_ends
from app.engine.tensors import ElementType
from app.engine.values import Array

_NOTHING: Final[Row] = {}


@dataclass(frozen=True, slots=True)
class NDJSONReader:
    """`included` are the fields of the result that are repeated; `verbatim` if it
    repeats each object, with all of its fields (`is_whole`) or those alone.
    No object may have a name of `taken`, those of the result's own columns."""

    target: Target
    included: tuple[Any, ...]
    verbatim: bool
    is_whole: bool
    taken: frozenset[str]
    limits: FileLimits

    def blocks(self, path: Path, span: Span, rows: int) -> Iterator[Block]:
        with path.open("rb") as file:
            extent = Extent(span.start, span.end, span.first_line)
            yield from self.of_file(file, extent, rows)

    def of_file(self, file: BinaryIO, extent: Extent, rows: int) -> Iterator[Block]:
        for piece in pieces(file, extent, ndjson_ends, self.limits):
            yield from self._of_piece(piece, rows)

    def _of_piece(self, piece: Piece, rows: int) -> Iterator[Block]:
        texts, lines = _lines(piece)
        for at in range(0, len(texts), rows):
            yield self._block(texts[at : at + rows], lines[at : at + rows])

    def _block(self, texts: list[bytes], lines: Array) -> Block:
        objects: list[Row] = []
        broken: dict[int, Fault] = {}
        for at, text in enumerate(texts):
            found = self._object(text)
            if isinstance(found, Fault):
                broken[at] = found._replace(text=shown(text.strip()))
                objects.append(_NOTHING)
            else:
                objects.append(found)
        return NDJSONBlock(self, lines, objects, broken, texts)

    def _object(self, text: bytes) -> Row | Fault:
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            reason = str(error).partition(": line ")[0]
            return Fault(None, f"the row is no valid JSON: {reason}.")
        if not isinstance(found, dict):
            return Fault(None, "the row must be an object of feature names and values.")
        if self.verbatim and self.is_whole and not self.taken.isdisjoint(found):
            name = next(name for name in found if name in self.taken)
            return Fault(
                name, "the result has a column of this name; rename the field."
            )
        return found


@dataclass(frozen=True, slots=True)
class NDJSONBlock:
    reader: NDJSONReader
    lines: Array
    objects: list[Row]
    broken: Mapping[int, Fault]
    texts: list[bytes]

    def tensors(self, rows: Array) -> Mapping[str, Array]:
        some = [self.objects[at] for at in rows.tolist()]
        return build_table(some, self.reader.target, place, in_column).tensors

    def cell_faults(self, rows: Array) -> Mapping[int, Fault]:
        """None: a row alone costs little here."""
        return {}

    def inputs(self) -> Sequence[Any]:
        return [_column(self.objects, field) for field in self.reader.included]

    def prefixes(self) -> Sequence[str] | None:
        """Each object up to its last brace."""
        if not self.reader.verbatim:
            return None
        if self.reader.is_whole:
            return [
                "{" if at in self.broken else _opened(text)
                for at, text in enumerate(self.texts)
            ]
        names = [field.name for field in self.reader.included]
        return [
            orjson.dumps({n: row[n] for n in names if n in row})[:-1].decode()
            for row in self.objects
        ]


def fields_of(
    rows: Sequence[Row], elements: Mapping[str, ElementType]
) -> dict[str, Any]:
    """The fields of these rows in order of appearance: a model's feature as numbers
    or truth values, all else as text."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: pa.field(name, feature_type(elements.get(name))) for name in names}


def _lines(piece: Piece) -> tuple[list[bytes], Array]:
    texts = piece.data.split(b"\n")
    if not texts[-1]:
        texts.pop()
    lines = piece.lines()
    filled = [bool(text) and not text.isspace() for text in texts]
    if all(filled):
        return texts, lines
    return [t for t, f in zip(texts, filled, strict=True) if f], lines[np.array(filled)]


def _opened(text: bytes) -> str:
    return text.rstrip()[:-1].rstrip().decode()


def _column(rows: Sequence[Row], field: Any) -> Any:
    values = [row.get(field.name) for row in rows]
    kind = field.type
    if pa.types.is_string(kind):
        return pa.array([_as_text(value) for value in values], kind)
    return numbers_as(values, kind)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
