"""Values to JSON: floats at their own precision, nothing lost, no `tolist()`.

orjson writes a float32 with the fewest digits that read back as the same float32,
but it writes NaN and infinities as null; those become strings here.
"""

from __future__ import annotations

import base64
import re
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from app.engine.value_types import MapType, OptionalType, SequenceType, TensorType

if TYPE_CHECKING:
    from app.engine.value_types import ValueType
    from app.engine.values import Array, Scalar, Value

OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_NULL = re.compile(b"null")
# Python looks through so few in less time than numpy takes to begin.
_FEW = 32


def jsonable(value: Value | Scalar, type_: ValueType) -> Any:
    """Something that `orjson.dumps(…, option=OPTIONS)` writes exactly."""
    if isinstance(value, np.ndarray):
        return tensor_json(value)
    if value is not None and isinstance(type_, OptionalType):
        return jsonable(value, type_.of)
    if isinstance(value, list) and isinstance(type_, SequenceType):
        return _maps_json(value, type_.of) or [jsonable(v, type_.of) for v in value]
    if isinstance(value, dict) and isinstance(type_, MapType):
        return {str(key): jsonable(item, type_.value) for key, item in value.items()}
    if isinstance(value, float) and isinstance(type_, TensorType):
        # A map's numbers come as Python floats; their own width has fewer digits.
        return tensor_json(np.array(value, dtype=type_.element.dtype))
    return _strings(value)


def _maps_json(maps: list[Any], type_: ValueType) -> list[Any] | None:
    """A ZipMap's rows by way of one table; None where they are no such rows.

    Row by row would cost a numpy call for each number.
    """
    first = maps[0] if maps else None
    if not isinstance(first, dict) or not isinstance(type_, MapType):
        return None
    element = getattr(type_.value, "element", None)
    if element is None or not element.is_float or len(first) < 2:
        return None
    if any(row.keys() != first.keys() for row in maps):
        return None
    table = np.array([[row[key] for key in first] for row in maps], element.dtype)
    labels = [str(key) for key in first]
    return [dict(zip(labels, row, strict=True)) for row in rows_json(table)]


def tensor_json(array: Array) -> Any:
    if array.dtype.hasobject:
        return _strings(array.tolist())
    array = _writable(array)
    if not _is_finite(array):
        return orjson.Fragment(_with_names(array))
    return array if array.ndim else _plain(array[()])


def rows_json(array: Array) -> list[Any]:
    """The first axis as a list, one JSON value each; `[n, 1]` gives plain values."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype == object:
        return list(tensor_json(array))
    array = _writable(array)
    if not _is_finite(array):
        return list(orjson.loads(_with_names(array)))
    return list(array) if array.ndim > 1 else [_plain(item) for item in array]


def _plain(scalar: Any) -> Any:
    """orjson knows numpy's floats, but not each of the names int64 goes by."""
    return scalar if scalar.dtype.kind == "f" else scalar.item()


def _is_finite(array: Array) -> bool:
    if array.dtype.kind != "f":
        return True
    if array.size <= _FEW:
        return all(map(isfinite, array.reshape(-1).tolist()))
    return bool(np.isfinite(array).all())


def _writable(array: Array) -> Array:
    """The same numbers in a dtype and a layout that orjson writes."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "V" or (kind == "f" and size < 2):
        array = array.astype(_wide(array.dtype.name))
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _wide(name: str) -> type[Any]:
    if name == "float8_e8m0fnu":
        # Its smallest is none of float32's normal numbers: few digits of it read back
        # as the next one.
        return np.float64
    return np.float32 if "float" in name else np.int8


def _with_names(array: Array) -> bytes:
    """orjson's text, its nulls replaced in order by what they stand for."""
    text = orjson.dumps(array if array.ndim else array[()], option=OPTIONS)
    odd = array[~np.isfinite(array)]
    if np.isnan(odd).all():
        return text.replace(b"null", _name(np.nan))
    names = map(_name, odd.ravel().tolist())
    return _NULL.sub(lambda _: next(names), text)


def _name(value: float) -> bytes:
    if value != value:
        return b'"NaN"'
    return b'"Infinity"' if value > 0 else b'"-Infinity"'


def _strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_strings(item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value
