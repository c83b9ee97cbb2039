"""JSON bodies: small ones read by orjson, large ones by simdjson.

simdjson copies all numbers of a list into one buffer without making an object of each,
but flattens on the way: the shape of the lists has to be proved first.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.engine.values import Array

try:
    from simdjson import Array as SimdArray
    from simdjson import Object as SimdObject
    from simdjson import Parser
except ImportError:  # Not every version of Python has a wheel of it.
    HAS_SIMDJSON = False
else:
    HAS_SIMDJSON = True

# From here on simdjson is the faster of the two.
LARGE_BYTES: Final = 8 * 1024
# Its count of a list's items stops at 2**24 - 1: no body of this size holds more.
_MOST_BYTES: Final = 32 * 1024 * 1024
# A parser keeps its buffers. New memory costs as much as parsing, so one parser is kept
# for all bodies but those that would make it hold too much.
_KEPT_BYTES: Final = 16 * 1024 * 1024
_MAX_RANK: Final = 64
_OPEN_LIST: Final = ord("[")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# What simdjson raises for a document, or a value, that it does not take.
_REFUSALS: Final = (ValueError, TypeError, RuntimeError, KeyError, MemoryError)

# The way to a list: the key of an object, or None for every item of what is there.
Path = tuple[str | None, ...]

_shared_parser = Parser() if HAS_SIMDJSON else None


class Numbers:
    """A list of nothing but scalars, nested with the lengths that `shape` tells."""

    __slots__ = ("_array", "_floats", "shape")

    def __init__(self, array: SimdArray, shape: tuple[int, ...]) -> None:
        self._array = array
        self._floats: Array | None = None
        self.shape = shape

    def floats(self) -> Array | None:
        """As float64; None where some element is no number."""
        if self._floats is None:
            self._floats = self._copy("d", np.float64)
        return self._floats

    def integers(self, *, unsigned: bool) -> Array | None:
        """As (u)int64; None where some element is no such integer."""
        return self._copy("u", np.uint64) if unsigned else self._copy("i", np.int64)

    def as_list(self) -> list[Any]:
        """What orjson makes of it."""
        return self._array.as_list()

    def _copy(self, kind: Any, dtype: type[Any]) -> Array | None:
        try:
            buffer = self._array.as_buffer(of_type=kind)
        except _REFUSALS:
            return None
        return np.frombuffer(buffer, dtype).reshape(self.shape)


class _Unproved(Exception):
    """A list at the path may be ragged, or no list of numbers."""


def loads(body: bytes, path: Path, *, large_bytes: int = LARGE_BYTES) -> Any:
    """As `orjson.loads`; in a large body each list at `path` may come as `Numbers`."""
    if large_bytes <= len(body) <= _MOST_BYTES and _may_hold(body, path):
        try:
            return _read(body, path)
        except (_Unproved, *_REFUSALS):
            pass
    return orjson.loads(body)


def _may_hold(body: bytes, path: Path) -> bool:
    if not HAS_SIMDJSON or body[:3] == _BYTE_ORDER_MARK:
        return False
    return f'"{path[0]}"'.encode() in body


def _read(body: bytes, path: Path) -> Any:
    found: list[Numbers] = []
    data = _open(_parse(body), path, found)
    if not found:
        raise _Unproved
    # A list hidden among numbers opens with a bracket that no shape accounts for.
    lists = sum(map(_count_lists, found)) + _count_brackets(data)
    brackets = np.count_nonzero(np.frombuffer(body, np.uint8) == _OPEN_LIST)
    if lists != brackets:
        raise _Unproved
    return data


def _parse(body: bytes) -> Any:
    if _shared_parser is None or len(body) > _KEPT_BYTES:
        return Parser().parse(body)
    try:
        return _shared_parser.parse(body)
    except RuntimeError:
        # Something of the last document is still in use.
        return Parser().parse(body)


def _open(value: Any, path: Path, found: list[Numbers]) -> Any:
    """The value as Python's own, but for the lists at `path`."""
    if isinstance(value, SimdArray):
        if not path:
            return _read_list(value, found)
        if path[0] is None:
            return [_open(item, path[1:], found) for item in value]
        return value.as_list()
    if isinstance(value, SimdObject):
        return _open_object(value, path, found) if path else value.as_dict()
    return value


def _read_list(array: SimdArray, found: list[Numbers]) -> Numbers | list[Any]:
    shape = _shape_of(array)
    if shape is None:
        return array.as_list()
    found.append(Numbers(array, shape))
    return found[-1]


def _open_object(value: SimdObject, path: Path, found: list[Numbers]) -> dict[str, Any]:
    names = list(value)
    if len(set(names)) != len(names):
        raise _Unproved  # The last of them counts, simdjson finds the first.
    way, rest = path[0], path[1:]
    opened: dict[str, Any] = {}
    for name in names:
        item: Any = value[name]
        is_on_way = way is None or way == name
        opened[name] = _open(item, rest, found) if is_on_way else _plain(item)
    return opened


def _plain(value: Any) -> Any:
    if isinstance(value, SimdArray):
        return value.as_list()
    return value.as_dict() if isinstance(value, SimdObject) else value


def _shape_of(array: SimdArray) -> tuple[int, ...] | None:
    """The lengths level by level, None for a list that does not begin with a number;
    raises _Unproved where lists differ in length."""
    level: list[Any] = [array]
    shape: list[int] = []
    while len(shape) < _MAX_RANK:
        lengths = set(map(len, level))
        shape.append(lengths.pop())
        if lengths:
            raise _Unproved
        first = level[0][0] if shape[-1] else None
        if type(first) in (int, float):
            return tuple(shape)
        if not isinstance(first, SimdArray):
            return None
        level = [item for items in level for item in items]
        if not all(isinstance(item, SimdArray) for item in level):
            raise _Unproved
    raise _Unproved


def _count_lists(numbers: Numbers) -> int:
    counts: Iterator[int] = accumulate(numbers.shape[:-1], mul)
    return 1 + sum(counts)


def _count_brackets(data: Any) -> int:
    if isinstance(data, dict):
        return sum(map(_count_brackets, data.values()))
    if isinstance(data, list):
        return 1 + sum(map(_count_brackets, data))
    return 0
