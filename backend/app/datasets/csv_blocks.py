"""Blocks of CSV: from columns of text to tensors, by way of numpy where that gives
exactly what predict makes of the same cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from app.codecs.base import Target
from app.codecs.coercion import Column, in_column, substitutes
from app.codecs.columns import Sheet, table_of
from app.codecs.csv_rows import quoted
from app.codecs.csv_text import numbers_of
from app.codecs.features import elements_of
from app.datasets.base import Span
from app.datasets.blocks import THE_ROW, Block, Fault, cast_or_none, some_of
from app.datasets.cell_faults import cell_faults
from app.datasets.csv_columns import CSVColumns, is_number, plain_numbers
from app.datasets.csv_records import Records
from app.datasets.feature_types import numbers_as
from app.datasets.limits import FileLimits
from app.datasets.text_pieces import Extent, Piece, pieces
from app.datasets.text_records import csv_ends
from app.datasets.texts import csv_cells, joined
from app.engine.tensors import ElementType
from app.engine.values import Array


@dataclass(frozen=True, slots=True)
class CSVReader:
    """`columns` are the file's, `included` the fields that the result repeats;
    `verbatim` if it repeats them as they are written, the whole line if `is_whole`."""

    target: Target
    columns: tuple[str, ...]
    included: tuple[Any, ...]
    verbatim: bool
    is_whole: bool
    limits: FileLimits

    def blocks(self, path: Path, span: Span, rows: int) -> Iterator[Block]:
        with path.open("rb") as file:
            extent = Extent(span.start, span.end, span.first_line)
            yield from self.of_file(file, extent, rows)

    def of_file(self, file: BinaryIO, extent: Extent, rows: int) -> Iterator[Block]:
        for piece in pieces(file, extent, csv_ends, self.limits):
            yield from self._of_piece(piece, rows)

    def _of_piece(self, piece: Piece, rows: int) -> Iterator[Block]:
        starts, lines, ends = piece.starts(), piece.lines(), piece.ends.records
        for at in range(0, len(starts), rows):
            stop = min(at + rows, len(starts))
            base = int(starts[at])
            data = piece.data[base : int(ends[stop - 1])]
            records = Records(data, starts[at:stop] - base, ends[at:stop] - base)
            block = self._block(records, lines[at:stop])
            if len(block.lines):
                yield block

    def _block(self, records: Records, lines: Array) -> Block:
        # In a file of one column, a blank line is a row with nothing in it.
        filled = records.filled()
        if len(self.columns) > 1 and not filled.all():
            records, lines = records.some(filled), lines[filled]
        columns = CSVColumns(records, self.columns, self._floats())
        return CSVBlock(self, lines, columns, records)

    def _floats(self) -> frozenset[str]:
        """The columns that need not be read as texts."""
        if not self.target.signature.inputs:
            return frozenset()
        elements = elements_of(self.target).items()
        floats = {name for name, element in elements if is_number(element)}
        if self.verbatim and not self.is_whole:
            floats -= {field.name for field in self.included}
        return frozenset(floats.intersection(self.columns))


@dataclass(frozen=True, slots=True)
class CSVBlock:
    reader: CSVReader
    lines: Array
    columns: CSVColumns
    records: Records

    @property
    def broken(self) -> Mapping[int, Fault]:
        return self.columns.broken

    def tensors(self, rows: Array) -> Mapping[str, Array]:
        target = self.reader.target
        fills = substitutes(elements_of(target), target.nulls)

        def read(name: str, element: ElementType) -> Column:
            # A row that is read alone may be about to be refused, in predict's words.
            numbers = self.columns.numbers(name) if len(rows) > 1 else None
            found = None
            if numbers is not None:
                found = _filled(some_of(numbers, rows), element, fills.get(name))
            if found is not None:
                return found
            return _values(
                some_of(self.columns.texts(name), rows), element, fills.get(name)
            )

        sheet = Sheet(self.reader.columns, len(rows), read, _place, "line 1")
        return table_of(sheet, target).tensors

    def cell_faults(self, rows: Array) -> Mapping[int, Fault]:
        def read(name: str, element: ElementType) -> Column:
            return _exact_values(some_of(self.columns.texts(name), rows), element)

        found = cell_faults(read, self.reader.target)
        return {int(rows[at]): fault for at, fault in found.items()}

    def inputs(self) -> Sequence[Any]:
        return [self._input(field.name, field.type) for field in self.reader.included]

    def _input(self, name: str, kind: Any) -> Any:
        """Null where a cell is not of the type."""
        if pa.types.is_string(kind):
            return self.columns.texts(name)
        numbers = self.columns.numbers(name)
        found = None if numbers is None else cast_or_none(numbers, kind)
        return _typed(self.columns.texts(name), kind) if found is None else found

    def prefixes(self) -> Any | None:
        if not self.reader.verbatim:
            return None
        names = [field.name for field in self.reader.included]
        if not self.reader.is_whole:
            cells = [csv_cells(self.columns.texts(name)) for name in names]
            return joined(*cells, between=",") if cells else None
        texts = self.records.texts()
        return texts if not self.broken else self._mended(texts.to_pylist(), names)

    def _mended(self, texts: list[str], names: Sequence[str]) -> Any:
        """What is broken is written anew, so that the result is not."""
        columns = [self.columns.texts(name) for name in names]
        for at in self.broken:
            values = [column[at].as_py() for column in columns]
            texts[at] = ",".join("" if v is None else quoted(v) for v in values)
        return pa.array(texts, pa.string())


def _place(_at: int, name: str) -> str:
    return in_column(THE_ROW, name)


def _typed(texts: Any, kind: Any) -> Any:
    if not pa.types.is_boolean(kind):
        floats = cast_or_none(texts, pa.float64())
        if floats is not None and plain_numbers(floats) is not None:
            found = cast_or_none(floats, kind)
            if found is not None:
                return found
    cells: list[str | None] = texts.to_pylist()
    return numbers_as(numbers_of([cell or "" for cell in cells]), kind)


def _values(texts: Any, element: ElementType, fill: object) -> Column:
    """`fill` stands for a null, unless it is None."""
    # A row that is read alone may be about to be refused, in predict's own words.
    if len(texts) > 1 and is_number(element):
        floats = cast_or_none(texts, pa.float64())
        if floats is not None and plain_numbers(floats) is not None:
            found = _filled(floats, element, fill)
            if found is not None:
                return found
    return _exact_values(texts, element)


def _exact_values(texts: Any, element: ElementType) -> list[Any]:
    """As predict has them."""
    cells: list[str | None] = texts.to_pylist()
    if element.is_string:
        return cells
    return numbers_of([cell or "" for cell in cells])


def _filled(floats: Any, element: ElementType, fill: object) -> Array | None:
    """None where there is a null for which nothing stands."""
    if floats.null_count:
        if not element.is_float or not isinstance(fill, int | float):
            return None
        floats = floats.fill_null(float(fill))
    values: Array = floats.to_numpy()
    return values
