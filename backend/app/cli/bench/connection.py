"""What a load needs of a connection, and a keep-alive HTTP/1.1 one."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, cast

_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
_CACHED: Final = re.compile(rb"\r\n[Xx]-[Cc]ache: *HIT")
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answered:
    """How one request ended. `lost`: its connection ended with it."""

    ok: bool
    cached: bool = False
    lost: bool = False


OnAnswer: TypeAlias = Callable[[Answered], None]
OK: Final = Answered(ok=True)
HIT: Final = Answered(ok=True, cached=True)
FAILED: Final = Answered(ok=False)
LOST: Final = Answered(ok=False, lost=True)


def nobody_asked(_answer: Answered) -> None:
    raise RuntimeError("an answer that nobody asked for")


class Connection(Protocol):
    """One request at a time; `on_answer` hears of each, once."""

    on_answer: OnAnswer

    @property
    def is_open(self) -> bool: ...

    def send(self, request: bytes) -> None: ...

    def close(self) -> None: ...


class Http1Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.on_answer: OnAnswer = nobody_asked
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        self._received = b""
        self._missing = -1  # Bytes of the body still to come; below 0: of the head.
        self._answer = OK

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's is no subclass.

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._waiting = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            data = self._received + data if self._received else data
            at = data.find(_END)
            if at < 0:
                self._received = data
                return
            self._received = b""
            head = data[: at + 2]
            self._read_head(head)
            self._missing -= len(data) - at - len(_END)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            self._finish(self._answer)

    def _read_head(self, head: bytes) -> None:
        found = _LENGTH.search(head)
        # An answer in chunks is no prediction of a server that this tool knows.
        self._missing = int(found[1]) if found else 0
        if head[9:12] != b"200" or found is None:
            self._answer = FAILED
        else:
            self._answer = HIT if _CACHED.search(head) else OK

    def _finish(self, answer: Answered) -> None:
        self._waiting, self._missing = False, -1
        self.on_answer(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._finish(LOST)

    def close(self) -> None:
        self._waiting = False
        if self._transport is not None:
            self._transport.abort()
