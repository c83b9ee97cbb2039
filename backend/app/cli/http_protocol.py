"""HTTP/1.1 with bounds that uvicorn leaves open: the size of a request's head, how
long a client may take to send it, the pace of its body, and how many connections
there may be.

Predictions that need no waiting are answered right here."""

import asyncio
import math
import time
from functools import lru_cache
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.errors import problem_bytes
from app.api.express import EXPRESS, LARGEST_BODY, Express
from app.api.openapi import PROBLEM
from app.cli.body_pace import BodyPace
from app.cli.room import most_connections
from app.errors import HeadTooLarge, InvalidRequest, MLForgeError, Overloaded
from app.kit.ids import new_id

# Of the length of a body that could be small.
_DIGITS = 9
# For every answer: a body is what its type says, whatever a browser thinks of it.
NOSNIFF = ("x-content-type-options", "nosniff")
_OK = STATUS_LINE[200]
_LENGTH_LETTERS = len(b"content-length")


class GuardedProtocol(HttpToolsProtocol):
    """One connection. Cuts a head after its limit and the read that passed it."""

    head_max_bytes: ClassVar[int] = 64 * 1024
    head_timeout_s: ClassVar[float] = 10.0
    body_idle_s: ClassVar[float] = 30.0
    unread_max_bytes: ClassVar[int] = 1024 * 1024
    look_every_s: ClassVar[float] = 2.0
    connections_max: ClassVar[int] = most_connections()
    # How long a connection with nothing under way is kept when there is no room.
    settling_s: ClassVar[float] = 1.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        # None while no head is on its way.
        self._head_since: float | None = None
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._express: Express | None = self.app_state.get(EXPRESS)
        # How long the body is said to be, -1 where it is not said.
        self._body_bytes = -1
        # How much of the body came after the answer.
        self._unread_bytes = 0
        # The body of a request that may be answered here, as far as it has come.
        self._held: bytes | None = None
        self._pace = BodyPace(self.body_idle_s)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        super().connection_made(transport)
        self._heard_at = self._head_since = time.monotonic()
        self._watch = self.loop.call_later(self.look_every_s, self._look)
        if len(self.connections) > self.connections_max:
            self._make_room()

    @property
    def may_go(self) -> bool:
        """Whether no request is under way: its client only has to connect again."""
        if self._held is not None:
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        since = self._heard_at if self._head_since is None else self._head_since
        return time.monotonic() - since > self.settling_s

    def _make_room(self) -> None:
        """One that waits for nothing goes; where all are at work, the newcomer does."""
        for other in self.connections:
            if isinstance(other, GuardedProtocol) and other.may_go:
                other.transport.close()
                return
        self._refuse(Overloaded("Too many connections are open; try again soon."))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self._head_bytes += len(data)
        super().data_received(data)
        is_open = self._head_since is not None and not self.transport.is_closing()
        if is_open and self._head_bytes > self.head_max_bytes:
            self._refuse(
                HeadTooLarge(
                    f"The request line and headers are larger than "
                    f"{self.head_max_bytes // 1024} KiB together."
                )
            )

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._head_since = time.monotonic()
        # What the framework needs is made when it is known that it is needed.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._body_bytes = -1
        self._unread_bytes = 0
        self._pace = BodyPace(self.body_idle_s)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_since is None:
            return  # A trailer: nothing after the head says who asks, or for what.
        super().on_header(name, value)
        if len(name) == _LENGTH_LETTERS and name.lower() == b"content-length":
            is_small = value.isdigit() and len(value) <= _DIGITS
            self._body_bytes = int(value) if is_small else -1

    def on_headers_complete(self) -> None:
        self._head_since = None
        if self._express is not None and self._may_be_quick():
            self._held = b""
        else:
            self._begin()

    def on_chunk_header(self) -> None:
        self._pace.chunk_came()
        if self._pace.is_crumbled and not self.transport.is_closing():
            self._refuse(InvalidRequest("The body comes in too many small chunks."))

    def on_body(self, body: bytes) -> None:
        self._pace.came(len(body))
        if self._held is not None:
            self._held += body
        elif self.cycle.response_complete:
            self._pass_over(body)
        else:
            super().on_body(body)

    def _pass_over(self, body: bytes) -> None:
        """What is still sent after the answer, a refusal say. Of a little, the client
        reads the answer in its own time; of much, closing is all that ends it."""
        self._unread_bytes += len(body)
        if self._unread_bytes > self.unread_max_bytes:
            self.transport.close()

    def on_message_complete(self) -> None:
        if self._held is None:
            super().on_message_complete()
        elif not self._answer_at_once(self._held):
            self._let_go()
            super().on_message_complete()

    def shutdown(self) -> None:
        if self._held is not None:
            self._let_go()
        super().shutdown()

    def _may_be_quick(self) -> bool:
        """Whether a small request stands alone, so that nothing need be kept of it."""
        if self.parser.get_method() != b"POST" or self.expect_100_continue:
            return False
        if not self.parser.should_keep_alive() or self.flow.write_paused:
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        return 0 <= self._body_bytes <= LARGEST_BODY

    def _answer_at_once(self, body: bytes) -> bool:
        assert self._express is not None
        answer = self._express.answer(self.url, self.headers, body)
        if answer is None:
            return False
        self._held = None
        self.server_state.total_requests += 1
        always = self.server_state.default_headers
        self.transport.write(b"".join([_OK, _lines(tuple(always)), *answer]))
        return True

    def _begin(self) -> None:
        """Hands the request to the framework."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers
        super().on_headers_complete()

    def _let_go(self) -> None:
        """Hands over a request that was held back, with what has come of its body."""
        body, self._held = self._held, None
        self._begin()
        if body:
            super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidRequest("The request is no valid HTTP/1.1."))

    def _look(self) -> None:
        self._watch = self.loop.call_later(self.look_every_s, self._look)
        now = time.monotonic()
        if self._head_since is not None:
            if now - self._head_since > self.head_timeout_s:
                self.transport.close()
        elif now - self._heard_at > self._patience_s() or self._is_slow():
            self.transport.close()

    def _is_slow(self) -> bool:
        """Whether the client sends its body slower than a body must come."""
        if self._patience_s() == self.body_idle_s:
            self._pace.waited(self.look_every_s)
        return self._pace.is_too_slow

    def _patience_s(self) -> float:
        """How long the client may be silent: in a body, between requests, or, while
        it is we who have to read or to answer, for ever."""
        if self._held is not None:
            return self.body_idle_s
        if self.cycle is None or self.cycle.response_complete:
            return self.timeout_keep_alive
        if self.cycle.more_body and not self.flow.read_paused:
            return self.body_idle_s
        return math.inf

    def _refuse(self, error: MLForgeError) -> None:
        request_id = new_id()
        body = problem_bytes(error, request_id)
        headers = {
            "content-type": PROBLEM,
            "content-length": str(len(body)),
            "x-request-id": request_id,
            "connection": "close",
            **dict([NOSNIFF]),
            **error.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[error.status] + head.encode() + b"\r\n" + body)
        self.transport.close()


@lru_cache(maxsize=4)
def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The same for every answer of a second."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])
