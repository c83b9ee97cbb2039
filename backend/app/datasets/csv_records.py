"""Records of CSV to columns of text: by pyarrow's reader, or, where that might not
read exactly what predict reads, by Python's, record by record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from app.codecs.csv_text import EMPTY, cells_of
from app.datasets.blocks import Fault, fault_of, shown
from app.datasets.text_records import is_utf8, is_well_quoted
from app.datasets.texts import strings
from app.engine.values import Array
from app.errors import InvalidRequest

_NEWLINES: Final = b"\r\n"
_NO_NUMBERS: Final[frozenset[str]] = frozenset()

Faults = dict[int, Fault]


@dataclass(frozen=True, slots=True)
class Records:
    """The bytes of some records, and where each of them stands."""

    data: bytes
    starts: Array
    ends: Array

    def __iter__(self) -> Iterator[bytes]:
        """Each without its newline."""
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield self.data[start:end].rstrip(_NEWLINES)

    def filled(self) -> Array:
        """Which of them are more than a newline."""
        blank = np.zeros(len(self.starts), dtype=np.bool_)
        for at in np.flatnonzero(self.ends - self.starts <= len(_NEWLINES)).tolist():
            record = self.data[int(self.starts[at]) : int(self.ends[at])]
            blank[at] = not record.rstrip(_NEWLINES)
        return ~blank

    def some(self, which: Array) -> "Records":
        return Records(self.data, self.starts[which], self.ends[which])

    def texts(self) -> Any:
        """Each as it is written, without its newline, as an array of strings."""
        newline = _newline_of(self.data)
        if newline and is_utf8(self.data):
            lengths = self.ends - self.starts - len(newline)
            if not self.data.endswith(newline):
                lengths[-1] += len(newline)
            contents = self.data.replace(newline, b"")
            # It is less where a newline is inside of quotes.
            if lengths.sum() == len(contents):
                offsets = np.concatenate([[0], np.cumsum(lengths)])
                return strings(offsets.astype(np.int32), contents)
        texts = [record.decode("utf-8", "replace") for record in self]
        return pa.array(texts, pa.string())


def read_records(
    records: Records, columns: Sequence[str], numbers: frozenset[str]
) -> tuple[Any, Faults]:
    """A table with a row for each record, null where a cell holds nothing, and the
    rows that are broken, of which it holds what can be shown. Its columns are texts;
    those of `numbers` are float64 where pyarrow takes all of their cells for some."""
    if is_well_quoted(records.data) and is_utf8(records.data):
        for floats in dict.fromkeys((numbers, _NO_NUMBERS)):
            table = _by_pyarrow(records.data, columns, floats)
            if table is not None and table.num_rows == len(records.starts):
                return table, {}
    return _one_by_one(records, columns)


def read_texts(records: Records, columns: Sequence[str], name: str) -> Any:
    """One column, of records that `read_records` found none broken of."""
    table = _by_pyarrow(records.data, columns, _NO_NUMBERS, only=[name])
    assert table is not None, "what was read with numbers is read without"
    return table.column(name)


def _newline_of(data: bytes) -> bytes:
    """The one that all of its lines end with, if there is one."""
    feeds, returns = data.count(b"\n"), data.count(b"\r")
    if not returns or not feeds:
        return b"\r" if returns else b"\n"
    return b"\r\n" if feeds == returns == data.count(b"\r\n") else b""


def _by_pyarrow(
    data: bytes,
    columns: Sequence[str],
    floats: frozenset[str],
    only: Sequence[str] = (),
) -> Any | None:
    """None where it refuses something."""
    types = dict.fromkeys(columns, pa.string()) | dict.fromkeys(floats, pa.float64())
    try:
        return pyarrow.csv.read_csv(
            pa.py_buffer(data),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=columns
            ),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=b'"' in data, ignore_empty_lines=len(columns) > 1
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                # It is known to be UTF-8.
                check_utf8=False,
                column_types=types,
                include_columns=only,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None


def _one_by_one(records: Records, columns: Sequence[str]) -> tuple[Any, Faults]:
    width = len(columns)
    broken: Faults = {}
    rows = []
    for at, record in enumerate(records):
        try:
            cells = cells_of(record) or [""]
        except InvalidRequest as error:
            broken[at] = fault_of(error)._replace(text=shown(record))
            cells = record.decode("utf-8", "replace").split(",")
        else:
            if len(cells) != width:
                broken[at] = _ragged(len(cells), width)._replace(text=shown(record))
        rows.append([*cells[:width], *[""] * (width - len(cells))])
    arrays = [
        pa.array([_value(cell) for cell in column], pa.string())
        for column in zip(*rows, strict=True)
    ]
    return pa.Table.from_arrays(arrays, names=list(columns)), broken


def _ragged(found: int, width: int) -> Fault:
    return Fault(None, f"the row has {found} fields, but the header has {width}.")


def _value(cell: str) -> str | None:
    if not cell:
        return None
    return "" if cell == EMPTY else cell
