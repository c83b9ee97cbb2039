"""Nested JSON lists to tensors, refusing whatever would change a value.

Widening is silent (int to float, true to 1); a cast that loses something, a ragged
list, a null or a stray string is an error that names its place.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from app.codecs.json_document import Numbers
from app.codecs.json_few import EXACT_FLOAT, few_floats
from app.errors import InvalidInput

if TYPE_CHECKING:
    from app.engine.tensors import ElementType
    from app.engine.values import Array

Index = tuple[int, ...]
Place = Callable[[Index], str]

NON_FINITE = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
MAX_RANK = 64  # numpy's own limit


def build_tensor(data: object, element: ElementType, place: Place) -> Array:
    """`data` as a new array of `element`'s dtype, its shape that of the nesting.

    `place` turns an index into words such as `input_data.x[0][3]` for messages.
    """
    if isinstance(data, Numbers):
        tensor = _from_numbers(data, element, place)
        if tensor is not None:
            return tensor
        data = data.as_list()
    if element.name == "string":
        return _strings(data, place)
    few = few_floats(data, element)
    if few is not None:
        return few
    array = _natural(data, place)
    if element.is_float:
        return _floats(array, data, element, place)
    if element.name == "bool":
        return _bools(array, data, place)
    return _integers(array, data, element, place)


def _natural(data: object, place: Place) -> Array:
    """In the dtype that numpy finds, or as objects where there is text.

    For text, numpy would give every number the longest string's room.
    """
    if _holds_text(data):
        return _objects(data, place)
    try:
        return np.array(data)
    except (ValueError, OverflowError):
        return _objects(data, place)


def _holds_text(data: object) -> bool:
    if not isinstance(data, list):
        return isinstance(data, str)
    level = data
    while level and type(level[0]) is list:
        try:
            level = list(chain.from_iterable(level))
        except TypeError:  # Ragged: objects will show where.
            return True
    return str in set(map(type, level))


def _from_numbers(numbers: Numbers, element: ElementType, place: Place) -> Array | None:
    """The tensor, or None where only the elements one by one tell what it is."""
    if element.is_float:
        return _from_floats(numbers, element)
    is_unsigned = element.name == "uint64"
    array = None if element.is_string else numbers.integers(unsigned=is_unsigned)
    if array is None:
        return None
    if element.name == "bool":
        return array.astype(np.bool_) if ((array == 0) | (array == 1)).all() else None
    return _integers(array, numbers, element, place)


def _from_floats(numbers: Numbers, element: ElementType) -> Array | None:
    array = numbers.floats()
    if array is None or array.dtype == element.dtype:
        return array
    if array.max() >= EXACT_FLOAT or array.min() <= -EXACT_FLOAT:
        return None  # Integers among them would be rounded twice.
    cast = _cast(array, element)
    return cast if np.isfinite(cast).all() else None


def _floats(array: Array, data: object, element: ElementType, place: Place) -> Array:
    if array.dtype.kind not in "fiub":
        array = _convert(data, _as_float, np.dtype(np.float64), place)
    if array.dtype == element.dtype:
        return array
    cast = _cast(array, element)
    if not np.isfinite(cast).all():
        _refuse_overflow(array, cast, element, place)
    return cast


def _cast(array: Array, element: ElementType) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        if element.name == "float8_e8m0fnu":
            # float64 just above its smallest number would become the next one.
            array = array.astype(np.float32)
        return array.astype(element.dtype)


def _refuse_overflow(
    array: Array, cast: Array, element: ElementType, place: Place
) -> None:
    # A type without infinities turns them into NaN, which is a loss too.
    lost = ~np.isfinite(cast) & (np.isnan(cast) != np.isnan(array))
    lost |= np.isfinite(array) & ~np.isfinite(cast)
    if lost.any():
        index = tuple(int(i) for i in np.argwhere(lost)[0])
        raise InvalidInput(
            f"{place(index)}: {array[index]} is outside the range of {element.name}."
        )


def _integers(array: Array, data: object, element: ElementType, place: Place) -> Array:
    if array.size == 0:
        return array.astype(element.dtype)
    low, high = limits_of(element)
    if array.dtype.kind not in "iub":

        def convert(value: object) -> int:
            number = _as_integer(value)
            if not low <= number <= high:
                raise ValueError(f"{number} is outside the range of {element.name}")
            if isinstance(value, float) and abs(value) >= EXACT_FLOAT:
                raise ValueError(
                    f"{value!r} may not be the whole number that was meant; write it "
                    f"out, within the range of {element.name} ({low} to {high})"
                )
            return number

        return _convert(data, convert, element.dtype, place)
    if array.dtype.kind != "b" and not (
        low <= int(array.min()) and int(array.max()) <= high
    ):
        wrong = np.argwhere((array < low) | (array > high))[0]
        index = tuple(int(i) for i in wrong)
        raise InvalidInput(
            f"{place(index)}: {array[index]} is outside the range of {element.name} "
            f"({low} to {high})."
        )
    return array.astype(element.dtype)


def limits_of(element: ElementType) -> tuple[int, int]:
    if element.name.startswith("uint"):
        return 0, 2**element.bits - 1
    half = 2 ** (element.bits - 1)
    return -half, half - 1


def _bools(array: Array, data: object, place: Place) -> Array:
    if array.dtype.kind == "b" or array.size == 0:
        return array.astype(np.bool_)
    return _convert(data, _as_bool, np.dtype(np.bool_), place)


def _strings(data: object, place: Place) -> Array:
    objects = _objects(data, place)
    out = np.empty(objects.shape, dtype=object)
    flat = out.reshape(-1)
    for at, value in enumerate(objects.reshape(-1)):
        flat[at] = (
            value
            if type(value) is str
            else _at(at, objects.shape, value, _as_text, place)
        )
    return out


def _convert(
    data: object, convert: Callable[[object], Any], dtype: np.dtype[Any], place: Place
) -> Array:
    """Element by element: the slow road, for what numpy alone would bend."""
    objects = _objects(data, place)
    values = [
        _at(at, objects.shape, value, convert, place)
        for at, value in enumerate(objects.reshape(-1))
    ]
    return np.array(values, dtype=dtype).reshape(objects.shape)


def _at(
    at: int,
    shape: Index,
    value: object,
    convert: Callable[[object], Any],
    place: Place,
) -> Any:
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError) as error:
        index = tuple(int(i) for i in np.unravel_index(at, shape))
        raise InvalidInput(f"{place(index)}: {error}.") from None


def _objects(data: object, place: Place) -> Array:
    """The elements as they came; refuses lists that are ragged or too deep."""
    try:
        objects = np.array(data, dtype=object)
    except ValueError:
        raise InvalidInput(
            f"{place(())}: lists are nested more than {MAX_RANK} deep."
        ) from None
    for at, value in enumerate(objects.reshape(-1)):
        if isinstance(value, list):
            index = tuple(int(i) for i in np.unravel_index(at, objects.shape))
            raise InvalidInput(
                f"{place(index)}: the nested lists are ragged; every list at the "
                f"same depth must have the same length."
            )
    return objects


def _as_float(value: object) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str) and value in NON_FINITE:
        return NON_FINITE[value]
    hint = ' (write "NaN" for a missing number)' if value is None else ""
    raise ValueError(f"expected a number, got {_show(value)}{hint}")


def _as_integer(value: object) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"expected a whole number, got {_show(value)}")


def _as_bool(value: object) -> bool:
    if value in (0, 1) and isinstance(value, (bool, int, float)):
        return bool(value)
    raise ValueError(f"expected true or false, got {_show(value)}")


def _as_text(value: object) -> str | bytes:
    """A string, or bytes that are no UTF-8 as `{"b64": "…"}`."""
    if isinstance(value, dict) and value.keys() == {"b64"}:
        try:
            raw = base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ValueError('"b64" holds no valid base64') from None
        return _text_or_bytes(raw)
    if isinstance(value, str):
        return value
    raise ValueError(f"expected a string, got {_show(value)}")


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _show(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        text = value if len(value) <= 40 else value[:40] + "…"
        return f'the string "{text}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
