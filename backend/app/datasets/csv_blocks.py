"""Blocks of CSV: from columns of text to tensors, by way of numpy where that gives
exactly what predict makes of the same cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.codecs.base import Target
from app.codecs.coercion import Column, in_column, substitutes
from app.codecs.columns import Sheet, table_of
from app.codecs.csv_rows import quoted
from app.codecs.csv_text import numbers_of
from app.codecs.features import elements_of
from app.datasets.base import Span
from app.datasets.blocks import THE_ROW, Block, Fault, is_run
from app.datasets.cell_faults import cell_faults
from app.datasets.csv_records import Records, read_records
from app.datasets.feature_types import numbers_as
from app.datasets.limits import FileLimits
from app.datasets.text_pieces import Extent, Piece, pieces
from app.datasets.text_records import csv_ends
from app.datasets.texts import csv_cells
from app.engine.tensors import ElementType
from app.engine.values import Array

# A whole number below is the same, read as an integer or as a float.
_EXACT: Final = 2.0**53
_FLOATS: Final = frozenset({"float16", "float32", "float64"})


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
        table, broken = read_records(records, self.columns)
        texts = records.texts() if self.verbatim and self.is_whole else None
        return CSVBlock(self, lines, table, broken, texts)


@dataclass(frozen=True, slots=True)
class CSVBlock:
    """`table` holds texts: null where a cell holds nothing, the empty string where it
    holds two quotes."""

    reader: CSVReader
    lines: Array
    table: Any
    broken: Mapping[int, Fault]
    texts: list[str] | None

    def tensors(self, rows: Array) -> Mapping[str, Array]:
        table = self._rows(rows)
        target = self.reader.target
        fills = substitutes(elements_of(target), target.nulls)

        def read(name: str, element: ElementType) -> Column:
            return _values(table.column(name), element, fills.get(name))

        names = tuple(table.column_names)
        sheet = Sheet(names, len(rows), read, _place, "line 1")
        return table_of(sheet, target).tensors

    def cell_faults(self, rows: Array) -> Mapping[int, Fault]:
        table = self._rows(rows)

        def read(name: str, element: ElementType) -> Column:
            return _exact_values(_whole(table.column(name)), element)

        found = cell_faults(read, self.reader.target)
        return {int(rows[at]): fault for at, fault in found.items()}

    def _rows(self, rows: Array) -> Any:
        if is_run(rows):
            return self.table.slice(int(rows[0]), len(rows))
        return self.table.take(pa.array(rows))

    def inputs(self) -> Sequence[Any]:
        return [
            _typed(_whole(self.table.column(field.name)), field.type)
            for field in self.reader.included
        ]

    def prefixes(self) -> Sequence[str] | None:
        names = [field.name for field in self.reader.included]
        texts = self.texts
        if texts is None and self.reader.verbatim and names:
            cells = [csv_cells(_whole(self.table.column(name))) for name in names]
            return list(map(",".join, zip(*cells, strict=True)))
        if texts is None or not self.broken:
            return texts
        # What is broken is written anew, so that the result is not.
        shown = self.table.take(pa.array(list(self.broken))).to_pylist()
        for at, row in zip(self.broken, shown, strict=True):
            values = [row[name] for name in names]
            texts[at] = ",".join("" if v is None else quoted(v) for v in values)
        return texts


def _place(_at: int, name: str) -> str:
    return in_column(THE_ROW, name)


def _typed(texts: Any, kind: Any) -> Any:
    """Null where a cell is not of the type."""
    if pa.types.is_string(kind):
        return texts
    if not pa.types.is_boolean(kind) and _plain_numbers(texts.drop_null()) is not None:
        try:
            return pc.cast(pc.cast(texts, pa.float64()), kind)
        except pa.ArrowInvalid:
            pass  # A fraction, where whole numbers are wanted: cell by cell.
    cells: list[str | None] = texts.to_pylist()
    return numbers_as(numbers_of([cell or "" for cell in cells]), kind)


def _whole(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _values(column: Any, element: ElementType, fill: object) -> Column:
    """`fill` stands for a null, unless it is None."""
    texts = _whole(column) if isinstance(column, pa.ChunkedArray) else column
    # A row that is read alone may be about to be refused, in predict's own words.
    is_fast = len(texts) > 1 and ("int" in element.name or element.name in _FLOATS)
    if is_fast and not texts.null_count:
        numbers = _plain_numbers(texts)
        if numbers is not None:
            return numbers
    elif is_fast and element.name in _FLOATS and isinstance(fill, int | float):
        return _filled(texts, element, fill)
    return _exact_values(texts, element)


def _exact_values(texts: Any, element: ElementType) -> list[Any]:
    """As predict has them."""
    cells: list[str | None] = texts.to_pylist()
    if element.is_string:
        return cells
    return numbers_of([cell or "" for cell in cells])


def _filled(texts: Any, element: ElementType, fill: object) -> Column:
    """Where the others are plain, all of them are numbers at once."""
    found = _values(texts.drop_null(), element, None)
    if not isinstance(found, np.ndarray):
        return _exact_values(texts, element)
    there = texts.is_valid().to_numpy(zero_copy_only=False)
    values = np.full(len(texts), fill, dtype=np.float64)
    values[there] = found
    return values


def _plain_numbers(texts: Any) -> Array | None:
    """None where a cell is more than a number whose meaning is plain: NaN, too large,
    `-0` (the integer, which has no sign)."""
    try:
        values: Array = pc.cast(texts, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    if not len(values) or not np.abs(values).max() < _EXACT:
        return None
    zeros = values == 0
    if zeros.any() and np.signbit(values[zeros]).any():
        return None
    return values
