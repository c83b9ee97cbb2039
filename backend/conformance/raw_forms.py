"""Tensors as the protocol's raw bytes, as a client writes and reads them."""

import struct

import numpy as np

from app.engine.tensors import ElementType, element_of
from app.engine.values import Array


def to_raw(array: Array) -> bytes:
    element = element_of(array)
    if element.is_string:
        return b"".join(_sized(item) for item in array.ravel().tolist())
    if element.bits < 8 and not element.is_float:
        return array.astype(np.int8).tobytes()
    return array.tobytes()


def from_raw(data: bytes, element: ElementType, shape: list[int]) -> Array:
    if element.is_string:
        items = list(_split(data))
        flat = np.empty(len(items), dtype=object)
        flat[:] = items
        return flat.reshape(shape)
    if element.bits < 8 and not element.is_float:
        return np.frombuffer(data, np.int8).astype(element.dtype).reshape(shape)
    return np.frombuffer(data, element.dtype).reshape(shape)


def _sized(item: str | bytes) -> bytes:
    data = item if isinstance(item, bytes) else item.encode()
    return struct.pack("<I", len(data)) + data


def _split(data: bytes) -> list[str | bytes]:
    found: list[str | bytes] = []
    at = 0
    while at < len(data):
        end = at + 4 + int(struct.unpack_from("<I", data, at)[0])
        found.append(_text(data[at + 4 : end]))
        at = end
    return found


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
