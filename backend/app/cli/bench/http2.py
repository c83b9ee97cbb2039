"""A connection that makes unary gRPC calls, one at a time, with few steps a call.

Frames are read by their length and type alone. A call was answered when a message came
before the end of its stream: a server that fails a call sends trailers only.
"""

import asyncio
import struct
from typing import Final, cast

from app.cli.bench.connection import (
    FAILED,
    LOST,
    OK,
    Answered,
    OnAnswer,
    nobody_asked,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
_HEAD: Final = 9
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 2**16 - 1
_MAX_FRAME: Final = 2**14
_INITIAL_WINDOW: Final = 4  # A setting's number.
# Received bytes after which the server's window is opened again.
_REOPEN_AT: Final = 2**29


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return (
        struct.pack(">BHBBL", size >> 16, size & 0xFFFF, kind, flags, stream) + payload
    )


def header_block(
    authority: str, path: str, headers: tuple[tuple[str, str], ...]
) -> bytes:
    """A call's headers, each written out: no table to keep in step."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *((name.lower(), value) for name, value in headers),
    ]
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)


def _string(text: str) -> bytes:
    content = text.encode()
    return _integer(len(content), 7) + content


def _integer(value: int, bits: int) -> bytes:
    """HPACK's: as many bits as the prefix has, then seven a byte."""
    full = (1 << bits) - 1
    if value < full:
        return bytes([value])
    out, value = bytearray([full]), value - full
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


class Http2Connection(asyncio.Protocol):
    def __init__(self, block: bytes) -> None:
        self.on_answer: OnAnswer = nobody_asked
        self._transport: asyncio.Transport | None = None
        self._block = block
        self._stream = -1
        self._waiting = self._has_message = False
        self._received = b""
        self._unsent = b""
        # How much the server takes: of the connection, of this and of a new stream.
        self._window = self._stream_window = self._new_window = _DEFAULT_WINDOW
        self._read = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's is no subclass.
        settings = struct.pack(">HLHL", 1, 0, _INITIAL_WINDOW, _LARGEST_WINDOW)
        opened = struct.pack(">L", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        self._transport.write(
            PREFACE
            + frame(SETTINGS, 0, 0, settings)
            + frame(WINDOW_UPDATE, 0, 0, opened)
        )

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        self._stream += 2
        self._waiting, self._has_message = True, False
        self._stream_window, self._unsent = self._new_window, request
        self._write(frame(HEADERS, END_HEADERS, self._stream, self._block))

    def _write(self, before: bytes = b"") -> None:
        """As much of the message as the server's windows take."""
        parts = [before]
        while self._unsent:
            size = min(len(self._unsent), _MAX_FRAME, self._window, self._stream_window)
            if size <= 0:
                break
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._window -= size
            self._stream_window -= size
            flags = 0 if self._unsent else END_STREAM
            parts.append(frame(DATA, flags, self._stream, part))
        self._send_raw(b"".join(parts))

    def _send_raw(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        at, size = 0, len(data)
        while size - at >= _HEAD:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBL", data, at)
            end = at + _HEAD + (high << 16) + low
            if end > size:
                break
            self._take(kind, flags, stream, data[at + _HEAD : end])
            at = end
        self._received = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._has_message = True
            self._count(len(payload))
        elif kind == WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big"))
        elif kind == SETTINGS and not flags & ACK:
            self._settle(payload)
        elif kind == PING and not flags & ACK:
            self._send_raw(frame(PING, ACK, 0, payload))
        ends = kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM)
        if ends and stream == self._stream and self._waiting:
            self._finish(OK if self._has_message and kind != RST_STREAM else FAILED)

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > _REOPEN_AT:
            self._send_raw(frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", self._read)))
            self._read = 0

    def _widen(self, stream: int, by: int) -> None:
        if stream == 0:
            self._window += by
        elif stream == self._stream:
            self._stream_window += by
        if self._unsent:
            self._write()

    def _settle(self, payload: bytes) -> None:
        for number, value in struct.iter_unpack(">HL", payload):
            if number == _INITIAL_WINDOW:
                self._stream_window += value - self._new_window
                self._new_window = value
        self._send_raw(frame(SETTINGS, ACK, 0))
        if self._unsent:
            self._write()

    def _finish(self, answer: Answered) -> None:
        self._waiting, self._unsent = False, b""
        self.on_answer(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._finish(LOST)

    def close(self) -> None:
        self._waiting = False
        if self._transport is not None:
            self._transport.abort()
