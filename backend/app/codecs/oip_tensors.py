"""Tensors as the Open Inference Protocol's raw bytes: little-endian, row-major.

BYTES elements carry their length in four bytes before them. Types that the protocol
has no word for go by their own name in capitals (`FLOAT8_E4M3FN`, `INT4`), one byte
to the element.
"""

import math
import struct
from collections.abc import Sequence
from typing import Final, cast

import numpy as np

from app.engine.tensors import BY_DTYPE, ELEMENT_TYPES, ElementType, element_of
from app.engine.values import Array
from app.errors import InvalidInput

Shape = tuple[int, ...]

MAX_RANK: Final = 64  # numpy's own limit
_MOST_ELEMENTS: Final = 2**48
_LENGTH: Final = struct.Struct("<I")

DATATYPES: Final[dict[str, ElementType]] = {
    element.oip or element.name.upper(): element for element in ELEMENT_TYPES
}
_WORDS: Final = {element.name: word for word, element in DATATYPES.items()}
_WORDS_BY_DTYPE: Final = {element.dtype: word for word, element in DATATYPES.items()}


def datatype_of(element: ElementType) -> str:
    """The protocol's word for it."""
    return _WORDS[element.name]


def datatype_of_array(array: Array) -> str:
    """The protocol's word for its elements; TypeError if no tensor can have them."""
    word = _WORDS_BY_DTYPE.get(array.dtype)
    return datatype_of(element_of(array)) if word is None else word


def element_named(datatype: object, place: str) -> ElementType:
    element = DATATYPES.get(datatype) if isinstance(datatype, str) else None
    if element is None:
        known = ", ".join(word for word, e in DATATYPES.items() if e.oip)
        shown = datatype[:40] if isinstance(datatype, str) else type(datatype).__name__
        raise InvalidInput(f'{place}: unknown datatype "{shown}"; use {known}.')
    return element


def check_shape(shape: Sequence[object], place: str) -> Shape:
    """The dims as they are when a tensor can have them."""
    if len(shape) > MAX_RANK:
        raise InvalidInput(
            f"{place}: its shape has {len(shape)} dimensions, {MAX_RANK} are the most."
        )
    size = 1
    for dim in shape:
        if type(dim) is not int or dim < 0:
            shown = str(dim)[:40]
            raise InvalidInput(
                f"{place}: its shape holds {shown}; dimensions are whole numbers, "
                "0 or greater."
            )
        size *= dim or 1
    dims = cast("Shape", tuple(shape))
    if size > _MOST_ELEMENTS:
        raise InvalidInput(f"{place}: a tensor of shape {_shown(dims)} is too large.")
    return dims


def from_raw(
    datatype: str, shape: Sequence[int], buffer: bytes | memoryview, name: str
) -> Array:
    """The tensor of input `name`; shares memory with `buffer` where it can."""
    place = f'input "{name}"'
    element = element_named(datatype, place)
    dims = check_shape(shape, place)
    if element.is_string:
        return _strings(memoryview(buffer), math.prod(dims), place).reshape(dims)
    count, width = math.prod(dims), element.dtype.itemsize
    if len(buffer) != count * width:
        raise InvalidInput(
            f"{place}: {datatype} {_shown(dims)} takes {count * width} bytes, "
            f"got {len(buffer)}."
        )
    if element.name == "bool" or element.bits < 8:
        return _narrow(buffer, element, datatype, place).reshape(dims)
    array = np.frombuffer(buffer, dtype=element.dtype).reshape(dims)
    return array if array.flags.aligned else array.copy()


def to_raw(array: Array) -> bytes:
    if array.dtype.kind in "OU":
        return b"".join(map(_prefixed, array.ravel().tolist()))
    element = BY_DTYPE.get(array.dtype)
    if element is not None and "int" in element.name and element.bits < 8:
        array = array.astype(np.int8)  # A byte that reads back as the same number.
    return array.tobytes()


def _narrow(
    buffer: bytes | memoryview, element: ElementType, datatype: str, place: str
) -> Array:
    """Elements that do not use every value of their byte."""
    is_signed = element.name.startswith("int")
    values = np.frombuffer(buffer, dtype=np.int8 if is_signed else np.uint8)
    low, high = 0, 2**element.bits - 1
    if element.name == "bool":
        high = 1
    elif is_signed:
        low, high = -(2 ** (element.bits - 1)), 2 ** (element.bits - 1) - 1
    wrong = (values < low) | (values > high)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InvalidInput(
            f"{place}: byte {at} is {values[at]}, outside the range of {datatype} "
            f"({low} to {high})."
        )
    if element.is_float:
        return values.view(element.dtype)
    return values.astype(element.dtype)


def _strings(buffer: memoryview, count: int, place: str) -> Array:
    if count * _LENGTH.size > len(buffer):
        raise InvalidInput(
            f"{place}: {count} BYTES elements take {count * _LENGTH.size} bytes at "
            f"least, got {len(buffer)}."
        )
    out = np.empty(count, dtype=object)
    at = 0
    for index in range(count):
        start = at + _LENGTH.size
        if start > len(buffer):
            raise _cut_off(place, index)
        at = start + _LENGTH.unpack_from(buffer, start - _LENGTH.size)[0]
        if at > len(buffer):
            raise _cut_off(place, index)
        out[index] = text_or_bytes(bytes(buffer[start:at]))
    if at != len(buffer):
        raise InvalidInput(
            f"{place}: {len(buffer) - at} bytes are left over after its {count} BYTES "
            "elements."
        )
    return out


def _cut_off(place: str, index: int) -> InvalidInput:
    return InvalidInput(
        f"{place}: BYTES element {index} runs past the end of the data; each element "
        "is its length in four little-endian bytes, then that many bytes."
    )


def text_or_bytes(raw: bytes) -> str | bytes:
    """As string tensors hold it: `str`, or `bytes` where that is no UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _prefixed(element: object) -> bytes:
    raw = element if isinstance(element, bytes) else str(element).encode()
    return _LENGTH.pack(len(raw)) + raw


def _shown(dims: Sequence[int]) -> str:
    return f"[{', '.join(map(str, dims))}]"
