"""The columns of a block of CSV: numbers, where what is written is one that reads the
same in every way, else the texts of the cells."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.datasets.csv_records import Records, read_records, read_texts
from app.engine.tensors import ElementType
from app.engine.values import Array

# A whole number below is the same, read as an integer or as a float.
_EXACT: Final = 2.0**53
_FLOATS: Final = frozenset({"float16", "float32", "float64"})


def is_number(element: ElementType) -> bool:
    """Whether values of this type are read by way of float64."""
    return "int" in element.name or element.name in _FLOATS


def plain_numbers(floats: Any) -> Array | None:
    """As numpy has them, without the nulls. None where one is more than a number
    whose meaning is plain: NaN, too large, `-0` (the integer, which has no sign)."""
    values: Array = floats.drop_null().to_numpy()
    if not len(values) or not np.abs(values).max() < _EXACT:
        return None
    zeros = values == 0
    if zeros.any() and np.signbit(values[zeros]).any():
        return None
    return values


class CSVColumns:
    """`broken` are the records that can't be read. Those of the columns in `floats`
    are read as numbers, and as texts only where these are asked for."""

    def __init__(
        self, records: Records, names: Sequence[str], floats: frozenset[str]
    ) -> None:
        self._records = records
        self._names = names
        self._table, self.broken = read_records(records, names, floats)
        self._numbers: dict[str, Any] = {}
        self._texts: dict[str, Any] = {}

    def numbers(self, name: str) -> Any | None:
        """Float64, with a null where a cell holds nothing; None where only the texts
        tell what is meant."""
        if name not in self._numbers:
            found = _whole(self._table.column(name))
            is_plain = pa.types.is_float64(found.type) and _is_plain(found)
            self._numbers[name] = found if is_plain else None
        return self._numbers[name]

    def texts(self, name: str) -> Any:
        """Null where a cell holds nothing, the empty string where it holds two
        quotes."""
        if name not in self._texts:
            column = self._table.column(name)
            if not pa.types.is_string(column.type):
                column = read_texts(self._records, self._names, name)
            self._texts[name] = _whole(column)
        return self._texts[name]


def _is_plain(floats: Any) -> bool:
    return plain_numbers(floats) is not None


def _whole(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
