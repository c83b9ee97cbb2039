"""Blocks of NDJSON: an object a line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa

from app.codecs.base import Target
from app.codecs.coercion import Column, in_column
from app.codecs.columns import Sheet, table_of
from app.codecs.features import Row, build_table, elements_of
from app.datasets.base import Span
from app.datasets.blocks import (
    THE_ROW,
    Block,
    Fault,
    cast_or_none,
    place,
    shown,
    some_of,
)
from app.datasets.feature_types import feature_type, numbers_as
from app.datasets.limits import FileLimits
from app.datasets.ndjson_columns import NDJSONColumns, read_columns
from app.datasets.ndjson_lines import Lines, filled_lines
from app.datasets.text_pieces import Extent, Piece, pieces
from app.datasets.text_records import ndjson_ends
from app.engine.tensors import ElementType
from app.engine.values import Array

_NOTHING: Final[Row] = {}


@dataclass(frozen=True, slots=True)
class NDJSONReader:
    """`columns` are the names that the file's first objects have, `included` the
    fields of the result that are repeated; `verbatim` if it
    repeats each object, with all of its fields (`is_whole`) or those alone.
    No object may have a name of `taken`, those of the result's own columns."""

    target: Target
    columns: tuple[str, ...]
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
        lines = filled_lines(piece)
        count = len(lines.starts)
        for at in range(0, count, rows):
            yield self.block(lines.some(at, min(at + rows, count)))

    def block(self, lines: Lines) -> "NDJSONBlock":
        columns = read_columns(lines, self.columns, self.elements())
        if columns is not None:
            return NDJSONBlock(self, lines, columns, {}, [])
        objects: list[Row] = []
        broken: dict[int, Fault] = {}
        for at, text in enumerate(lines.texts()):
            found = self._object(text)
            if isinstance(found, Fault):
                broken[at] = found._replace(text=shown(text.strip()))
                objects.append(_NOTHING)
            else:
                objects.append(found)
        return NDJSONBlock(self, lines, None, broken, objects)

    def elements(self) -> Mapping[str, ElementType]:
        return elements_of(self.target) if self.target.signature.inputs else {}

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
    """`objects` are parsed already where there are no `columns`."""

    reader: NDJSONReader
    rows: Lines
    columns: NDJSONColumns | None
    broken: Mapping[int, Fault]
    parsed: list[Row]

    @property
    def lines(self) -> Array:
        return self.rows.numbers

    @property
    def objects(self) -> list[Row]:
        if not self.parsed:
            self.parsed.extend(map(orjson.loads, self.rows.texts()))
        return self.parsed

    def tensors(self, rows: Array) -> Mapping[str, Array]:
        # A row that is read alone may be about to be refused, in predict's words.
        if self.columns is not None and len(rows) > 1:
            return self._typed_tensors(self.columns, rows)
        some = [self.objects[at] for at in rows.tolist()]
        return build_table(some, self.reader.target, place, in_column).tensors

    def _typed_tensors(
        self, columns: NDJSONColumns, rows: Array
    ) -> Mapping[str, Array]:
        def read(name: str, element: ElementType) -> Column:
            values = some_of(columns.column(name), rows)
            if element.is_string:
                texts: list[str] = values.to_pylist()
                return texts
            numbers: Array = values.to_numpy(zero_copy_only=False)
            return numbers

        def cell(_: int, name: str) -> str:
            return in_column(THE_ROW, name)

        sheet = Sheet(self.reader.columns, len(rows), read, cell, THE_ROW)
        return table_of(sheet, self.reader.target).tensors

    def cell_faults(self, rows: Array) -> Mapping[int, Fault]:
        """None: a row alone costs little here."""
        return {}

    def inputs(self) -> Sequence[Any]:
        elements = self.reader.elements()
        return [
            self._input(field, is_feature=field.name in elements)
            for field in self.reader.included
        ]

    def _input(self, field: Any, *, is_feature: bool) -> Any:
        found = None
        if self.columns is not None:
            found = (
                cast_or_none(self.columns.column(field.name), field.type)
                if is_feature
                else self.columns.texts(field.name)
            )
        return _column(self.objects, field) if found is None else found

    def prefixes(self) -> Any | None:
        """Each object up to its last brace."""
        if not self.reader.verbatim:
            return None
        if not self.reader.is_whole:
            return pa.array(self._chosen(), pa.string())
        if not self.broken and self.rows.are_regular():
            return self.rows.opened()
        texts = [
            "{" if at in self.broken else _opened(text)
            for at, text in enumerate(self.rows.texts())
        ]
        return pa.array(texts, pa.string())

    def _chosen(self) -> list[str]:
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
