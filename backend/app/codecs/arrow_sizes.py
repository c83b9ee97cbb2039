"""How much the compressed buffers of an Arrow stream unpack to, before they do.

Arrow makes room for each buffer by the length written in front of it, so the sum of
these is what reading the stream can cost. They are found by the layout of the
messages (https://arrow.apache.org/docs/format/Columnar.html), which are flatbuffers
that the reader of messages has verified.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

# Places of fields in their tables.
_MESSAGE_HEADER: Final = 2
_DICTIONARY_DATA: Final = 1
_BATCH_LENGTH: Final = 0
_BATCH_BUFFERS: Final = 2
_BATCH_COMPRESSION: Final = 3
_NOT_COMPRESSED: Final = -1


def inflated_bytes(body: bytes) -> int:
    """Raises what pyarrow does on a broken stream, struct.error on lying offsets."""
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(body))
    return sum(map(message_bytes, reader))


def message_rows(message: Any) -> int:
    """Of a record batch; of another message, none."""
    if message.type != "record batch":
        return 0
    meta = message.metadata.to_pybytes()
    batch = _follow(meta, _field(meta, _u32(meta, 0), _MESSAGE_HEADER))
    length = _field(meta, batch, _BATCH_LENGTH)
    return int(struct.unpack_from("<q", meta, length)[0]) if length else 0


def message_bytes(message: Any) -> int:
    if message.type not in {"record batch", "dictionary"}:
        return 0
    meta = message.metadata.to_pybytes()
    batch = _follow(meta, _field(meta, _u32(meta, 0), _MESSAGE_HEADER))
    if message.type == "dictionary":
        batch = _follow(meta, _field(meta, batch, _DICTIONARY_DATA))
    if not _field(meta, batch, _BATCH_COMPRESSION):
        return 0
    data = memoryview(message.body)
    return sum(_inflated(data, *buffer) for buffer in _buffers(meta, batch))


def _buffers(meta: bytes, batch: int) -> Iterator[tuple[int, int]]:
    vector = _follow(meta, _field(meta, batch, _BATCH_BUFFERS))
    for at in range(_u32(meta, vector)):
        yield struct.unpack_from("<qq", meta, vector + 4 + 16 * at)


def _inflated(data: memoryview, offset: int, length: int) -> int:
    if length < 8:
        return 0
    (inflated,) = struct.unpack_from("<q", data, offset)
    return length if inflated == _NOT_COMPRESSED else max(int(inflated), 0)


def _field(meta: bytes, table: int, number: int) -> int:
    """Where a field of a table stands; 0 if it is left out."""
    vtable = table - struct.unpack_from("<i", meta, table)[0]
    entry = 4 + 2 * number
    if entry >= struct.unpack_from("<H", meta, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", meta, vtable + entry)[0]
    return table + int(offset) if offset else 0


def _follow(meta: bytes, place: int) -> int:
    return place + _u32(meta, place)


def _u32(meta: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", meta, place)[0])
