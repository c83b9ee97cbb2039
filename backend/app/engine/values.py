"""What flows through a model: tensors, sequences, maps and optionals."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, Union

import numpy as np

# The element type is known at run time only, so the static type is open.
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Scalar: TypeAlias = bool | int | float | str | bytes
# A string tensor is an object array of `str`, or `bytes` where not valid UTF-8.
Value: TypeAlias = Union[
    Array,
    "list[Value]",
    "dict[str, Value | Scalar]",
    "dict[int, Value | Scalar]",
    None,
]
Tensors: TypeAlias = Mapping[str, Value]

_NUMBER_BYTES = 8
# A guess at what one string or one map takes.
_STRING_BYTES = 64


def nbytes(value: Value | Scalar) -> int:
    """Bytes of data held; strings count as UTF-8, numbers of a map as 8 bytes."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return _total(value.flat)
        return value.nbytes
    if isinstance(value, str):
        return len(value) if value.isascii() else _encoded_length(value)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, list):
        return _total(value)
    if isinstance(value, dict):
        return _total(value) + _total(value.values())
    return 0 if value is None else _NUMBER_BYTES


def weigh(values: Tensors) -> int:
    """About as many bytes as `nbytes` of them all, without looking into lists."""
    return sum(map(_weight, values.values()))


def _weight(value: Value) -> int:
    if isinstance(value, np.ndarray):
        return value.size * _STRING_BYTES if value.dtype == object else value.nbytes
    if isinstance(value, list | dict):
        return len(value) * _STRING_BYTES
    return 0


def _total(values: Iterable[Any]) -> int:
    return sum(map(nbytes, values))


def _encoded_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
