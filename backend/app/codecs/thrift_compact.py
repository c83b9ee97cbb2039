"""Thrift's compact protocol, as much as Parquet's headers and footers are made of."""

from mmap import mmap
from typing import Any, Final, TypeAlias

# https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
_BOOLS: Final = (1, 2)
_BYTE: Final = 3
_VARINTS: Final = (4, 5, 6)
_DOUBLE: Final = 7
_BINARY: Final = 8
_LISTS: Final = (9, 10)
_STRUCT: Final = 12
_DEPTH: Final = 16

Fields = dict[int, Any]
Bytes: TypeAlias = bytes | mmap


class CompactReader:
    """Structs are dicts by field number; IndexError past the end, ValueError on what
    is no Thrift."""

    def __init__(self, data: Bytes, at: int) -> None:
        self._data = data
        self.at = at

    def struct(self, depth: int = 0) -> Fields:
        fields: Fields = {}
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._integer()
            # A bool has no bytes of its own.
            fields[number] = kind == 1 if kind in _BOOLS else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise ValueError("a header is nested too deeply")
        if kind in _VARINTS:
            return self._integer()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in _LISTS:
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15, depth + 1) for _ in range(size)]
        if kind == _BYTE or kind in _BOOLS:
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise ValueError("a header holds an unknown type")

    def _bytes(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self._data):
            raise IndexError("a header goes on past the end")
        return self._data[start : self.at]

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while shift < 70:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
        raise ValueError("a header holds an endless number")

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte
