"""Outputs as bytes and back, for tiers outside this process.

An entry is a magic word with a version, a digest of the rest, then tagged values.
Nothing in it can name code, and what it claims is checked before memory is taken.
"""

import math
import struct
from typing import Any

import numpy as np
from blake3 import blake3

from app.cache.base import Outputs
from app.engine.tensors import BY_DTYPE, BY_NAME
from app.engine.values import Array

MAGIC = b"MLFP\x01"
DIGEST_BYTES = 16
DEPTH_MAX = 32
DIMENSIONS_MAX = 64  # numpy's own limit

_COUNT = struct.Struct("<I")
_DIMENSION = struct.Struct("<Q")
_FLOAT = struct.Struct("<d")
_LENGTH = np.dtype("<u8")
_NUMBER = np.dtype("<f8")


class WireError(ValueError):
    """Something that cannot pass the wire."""


class CorruptEntry(WireError):
    """Bytes that are no entry, or not one written by this version."""


def encode(outputs: Outputs) -> bytes:
    """The entry of `outputs`; WireError if a value is none a model can give."""
    parts: list[bytes] = []
    _write(parts, outputs, depth=0)
    return seal(b"".join(parts))


def seal(body: bytes) -> bytes:
    """Puts magic word and digest before the tagged values."""
    return MAGIC + _digest(body) + body


def decode(entry: bytes) -> Outputs:
    """The outputs of an entry, its arrays read-only; CorruptEntry for all else."""
    head = len(MAGIC) + DIGEST_BYTES
    body = memoryview(entry)[head:]
    if not entry.startswith(MAGIC) or entry[len(MAGIC) : head] != _digest(body):
        raise CorruptEntry("not an entry, or changed since it was written")
    reader = _Reader(body)
    try:
        value = reader.value(depth=0)
    except UnicodeDecodeError as error:
        raise CorruptEntry("a string is no UTF-8") from error
    if not reader.at_end or not isinstance(value, dict):
        raise CorruptEntry("not a map of outputs and nothing more")
    if not all(isinstance(name, str) for name in value):
        raise CorruptEntry("the name of an output is no string")
    return value


def _digest(body: bytes | memoryview) -> bytes:
    return blake3(body).digest(DIGEST_BYTES)


def _sized(tag: bytes, data: bytes) -> bytes:
    if len(data) > 0xFFFFFFFF:
        raise WireError("a value of 4 GiB or more")
    return tag + _COUNT.pack(len(data)) + data


def _write(parts: list[bytes], value: Any, *, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise WireError(f"values nested more than {DEPTH_MAX} deep")
    if isinstance(value, np.ndarray):
        _write_array(parts, value)
    elif (columns := _columns(value)) is not None:
        _write_rows(parts, value, columns)
    elif isinstance(value, list):
        parts.append(b"L" + _COUNT.pack(len(value)))
        for item in value:
            _write(parts, item, depth=depth + 1)
    elif isinstance(value, dict):
        parts.append(b"M" + _COUNT.pack(len(value)))
        for map_key, item in value.items():
            parts.append(_scalar(map_key))
            _write(parts, item, depth=depth + 1)
    else:
        parts.append(_scalar(value))


def _write_array(parts: list[bytes], array: Array) -> None:
    element = BY_DTYPE.get(array.dtype)
    if element is None:
        raise WireError(f"an array of dtype {array.dtype}")
    name = element.name.encode()
    parts.append(b"A%c%b%c" % (len(name), name, array.ndim))
    parts.extend(map(_DIMENSION.pack, array.shape))
    if element.is_string:
        _write_texts(parts, array.ravel().tolist())
    else:
        parts.append(array.tobytes())


def _write_texts(parts: list[bytes], items: list[Any]) -> None:
    """Kinds, lengths, characters: three runs are read faster than pairs."""
    kinds = bytes(isinstance(item, bytes) for item in items)
    data = [_text(item) for item in items]
    lengths = np.fromiter(map(len, data), _LENGTH, len(data))
    parts += [kinds, lengths.tobytes(), *data]


def _text(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if isinstance(item, bytes):
        return item
    raise WireError(f"a string tensor with a {type(item).__name__}")


def _columns(value: Any) -> list[str | int] | None:
    """The map keys of a classifier's answer: maps to floats, all with the same keys.

    There is one for each row, so they are worth a form that is read at once.
    """
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return None
    columns = list(value[0])
    for row in value:
        if type(row) is not dict or list(row) != columns:
            return None
        if not all(type(number) is float for number in row.values()):
            return None
    # Equal keys may be of other types: True is 1.
    same = {tuple(map(type, row)) for row in value}
    return columns if columns and len(same) == 1 else None


def _write_rows(
    parts: list[bytes], rows: list[dict[str | int, float]], columns: list[str | int]
) -> None:
    parts.append(b"R" + _COUNT.pack(len(rows)) + _COUNT.pack(len(columns)))
    parts.extend(map(_scalar, columns))
    parts.append(np.array([list(row.values()) for row in rows], _NUMBER).tobytes())


def _scalar(value: Any) -> bytes:
    if isinstance(value, str):
        return _sized(b"s", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return _sized(b"b", value)
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, float):
        return b"f" + _FLOAT.pack(value)
    if isinstance(value, int):
        size = value.bit_length() // 8 + 1
        return _sized(b"i", value.to_bytes(size, "little", signed=True))
    raise WireError(f"a value of type {type(value).__name__}")


class _Reader:
    """Reads tagged values off a buffer, never past its end."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._body)

    def value(self, *, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise CorruptEntry("nested too deep")
        tag = self._take(1)
        if tag == b"A":
            return self._array()
        if tag == b"L":
            return [self.value(depth=depth + 1) for _ in range(self._count())]
        if tag == b"R":
            return self._rows()
        if tag == b"M":
            return {
                self._map_key(): self.value(depth=depth + 1)
                for _ in range(self._count())
            }
        return self._scalar(tag)

    def _scalar(self, tag: bytes) -> Any:
        match tag:
            case b"s":
                return str(self._take(self._count()), "utf-8", "surrogatepass")
            case b"b":
                return self._take(self._count())
            case b"i":
                return int.from_bytes(self._take(self._count()), "little", signed=True)
            case b"f":
                return _FLOAT.unpack(self._take(_FLOAT.size))[0]
            case b"N":
                return None
            case b"T" | b"F":
                return tag == b"T"
        raise CorruptEntry("an unknown tag")

    def _map_key(self) -> str | int:
        map_key = self._scalar(self._take(1))
        if isinstance(map_key, bool) or not isinstance(map_key, str | int):
            raise CorruptEntry("a map key that is neither string nor integer")
        return map_key

    def _array(self) -> Array:
        element = BY_NAME.get(str(self._take(self._byte()), "ascii"))
        if element is None:
            raise CorruptEntry("an unknown element type")
        rank = self._byte()
        if rank > DIMENSIONS_MAX:
            raise CorruptEntry("too many dimensions")
        shape = [self._dimension() for _ in range(rank)]
        if element.is_string:
            array = self._texts(math.prod(shape))
        else:
            size = math.prod(shape) * element.dtype.itemsize
            # A copy: it is aligned, and does not keep the whole entry in memory.
            array = np.frombuffer(self._take(size), element.dtype).copy()
        try:
            array = array.reshape(shape)
        except ValueError as error:  # Dimensions beside a zero may be of any size.
            raise CorruptEntry("an impossible shape") from error
        array.flags.writeable = False
        return array

    def _rows(self) -> list[dict[str | int, float]]:
        count, width = self._count(), self._count()
        columns = [self._map_key() for _ in range(width)]
        if not columns:
            raise CorruptEntry("rows without a column")
        data = self._take(count * width * _NUMBER.itemsize)
        numbers = np.frombuffer(data, _NUMBER).reshape(count, width).tolist()
        return [dict(zip(columns, row, strict=True)) for row in numbers]

    def _texts(self, count: int) -> Array:
        kinds = self._take(count)
        data = self._take(count * _LENGTH.itemsize)
        items: list[str | bytes] = []
        for is_bytes, length in zip(
            kinds, np.frombuffer(data, _LENGTH).tolist(), strict=True
        ):
            item = self._take(length)
            items.append(item if is_bytes else str(item, "utf-8", "surrogatepass"))
        array = np.empty(count, object)
        array[:] = items
        return array

    def _byte(self) -> int:
        return self._take(1)[0]

    def _dimension(self) -> int:
        return int(_DIMENSION.unpack(self._take(_DIMENSION.size))[0])

    def _count(self) -> int:
        """A number of items or bytes; each item takes at least a byte."""
        count = int(_COUNT.unpack(self._take(_COUNT.size))[0])
        self._check_room(count)
        return count

    def _take(self, size: int) -> bytes:
        self._check_room(size)
        start, self._at = self._at, self._at + size
        return self._body[start : self._at].tobytes()

    def _check_room(self, size: int) -> None:
        if size > len(self._body) - self._at:
            raise CorruptEntry("ends too early")
