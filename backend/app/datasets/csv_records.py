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
from app.datasets.text_records import is_well_quoted
from app.engine.values import Array
from app.errors import InvalidRequest

_NEWLINES: Final = b"\r\n"

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

    def texts(self) -> list[str]:
        """Each as it is written, without its newline."""
        if b'"' not in self.data:
            is_windows = b"\r" in self.data
            newline = "\r\n" if is_windows else "\n"
            lines = self.data.decode("utf-8", "replace").split(newline)
            if not lines[-1]:
                lines.pop()
            is_mixed = is_windows and self.data.count(b"\r") != self.data.count(b"\n")
            if len(lines) == len(self.starts) and not is_mixed:
                return lines
        return [record.decode("utf-8", "replace") for record in self]


def read_records(records: Records, columns: Sequence[str]) -> tuple[Any, Faults]:
    """A table of texts with a row for each record, null where a cell holds nothing;
    and the rows that are broken, of which it holds what can be shown."""
    if is_well_quoted(records.data) and _is_utf8(records.data):
        table = _by_pyarrow(records.data, columns)
        if table is not None and table.num_rows == len(records.starts):
            return table, {}
    return _one_by_one(records, columns)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _by_pyarrow(data: bytes, columns: Sequence[str]) -> Any | None:
    """None where it refuses something."""
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
                column_types=dict.fromkeys(columns, pa.string()),
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
