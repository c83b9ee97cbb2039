"""The one way from values of any row format to a tensor's elements.

`build_tensor` says which values fit an element type; this says what stands for a
null, and keeps strings among numbers from becoming an array of wide text.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from app.codecs.base import NullPolicy
from app.codecs.json_tensors import Place, build_tensor
from app.engine.tensors import BY_NAME, ElementType
from app.engine.values import Array

# One value per row: numpy's own numbers where the format is typed, else plain values
# with None for a null.
Column: TypeAlias = Array | Sequence[Any]
# Words for the value of a row and a feature, from the row's own words.
CellPlace: TypeAlias = Callable[[str, str], str]

_FLOAT64: Final = BY_NAME["float64"]
_EXACT: Final = 2.0**53
_NUMBERS: Final = frozenset({int, float, bool})


def dotted(row: str, name: str) -> str:
    """`rows[3].age`"""
    return f"{row}.{name}"


def in_column(row: str, name: str) -> str:
    """`row 3, column "age"`"""
    return f'{row}, column "{name}"'


def substitutes(
    elements: Mapping[str, ElementType], nulls: NullPolicy | None
) -> dict[str, Any]:
    """What stands for a null, for the features where something does."""
    if nulls is None:
        return {}
    found: dict[str, Any] = {}
    for name, element in elements.items():
        if name in nulls.defaults:
            found[name] = nulls.defaults[name]
        elif nulls.nan and element.is_float:
            found[name] = np.nan
    return found


def without_nulls(column: Column, substitute: object) -> Column:
    """A `substitute` of None leaves nulls where they are, to be refused."""
    if substitute is None or isinstance(column, np.ndarray):
        return column
    return [substitute if value is None else value for value in column]


def coerce(column: Column, element: ElementType, place: Place) -> Array:
    if isinstance(column, np.ndarray) and _is_integer(element):
        column = _whole(column)
    return build_tensor(_boxed(column), element, place)


def as_text(value: bytes) -> object:
    """Bytes of a string as JSON would hold them."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _is_integer(element: ElementType) -> bool:
    return "int" in element.name


def _whole(array: Array) -> Array:
    """Floats as integers at once, where each is one exactly."""
    if array.dtype.kind != "f" or not (np.abs(array) < _EXACT).all():
        return array
    return array.astype(np.int64) if (np.trunc(array) == array).all() else array


def numbers_of(column: Column, place: Place) -> Array:
    """The column in numpy's own type for its numbers, before any cast."""
    boxed = _boxed(column)
    array = np.asarray(boxed)
    if array.dtype.kind in "fiub":
        return array
    return build_tensor(boxed, _FLOAT64, place)


def _boxed(column: Column) -> Column:
    """As objects where numpy would widen everything to the longest string."""
    if isinstance(column, np.ndarray) or _NUMBERS.issuperset(map(type, column)):
        return column
    boxed = np.empty(len(column), dtype=object)
    boxed[:] = column
    return boxed
