"""The generator against servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from app.cli.bench.connection import Connection, Http1Connection
from app.cli.bench.load import Limits, closed_loop, open_loop
from app.cli.bench.requests import Requests, Template

REQUESTS = Requests((Template(b"POST / HTTP/1.1\r\n\r\n", b"", None, binary=True),))
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno"
LIMITS = Limits(seconds=0.2, timeout_s=0.2)

Connect = Callable[[], Awaitable[Connection]]
Write = Callable[[asyncio.Transport, int], None]


class Served(asyncio.Protocol):
    """Answers request number n of a connection by `write(transport, n)`."""

    def __init__(self, write: Write, all_served: "list[Served]") -> None:
        self._write, self._number = write, 0
        self.lost = asyncio.get_running_loop().create_future()
        all_served.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._number += 1
        self._write(self.transport, self._number - 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@asynccontextmanager
async def serving(write: Write) -> AsyncIterator[Connect]:
    """A server, and how to connect to it."""
    loop = asyncio.get_running_loop()
    served: list[Served] = []
    made: list[Http1Connection] = []
    server = await loop.create_server(lambda: Served(write, served), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def connect() -> Connection:
        _, connection = await loop.create_connection(Http1Connection, "127.0.0.1", port)
        made.append(connection)
        return connection

    async with server:
        yield connect
        for one in served:
            one.transport.abort()
            await asyncio.wait_for(one.lost, 10)
    assert not any(connection.is_open for connection in made)


async def test_answers_other_than_200_are_errors_and_no_latencies() -> None:
    async with serving(lambda out, n: out.write(BAD if n % 2 else GOOD)) as connect:
        outcome = await closed_loop(connect, REQUESTS, LIMITS, connections=1)
    assert abs(outcome.errors - len(outcome.latencies_s)) <= 1
    assert outcome.errors > 0


async def test_answers_in_pieces_are_counted_once_each() -> None:
    def write(out: asyncio.Transport, number: int) -> None:
        at = number % len(GOOD)
        out.write(GOOD[:at])
        asyncio.get_running_loop().call_soon(out.write, GOOD[at:])

    async with serving(write) as connect:
        outcome = await closed_loop(connect, REQUESTS, LIMITS, connections=3)
    assert outcome.errors == 0
    assert len(outcome.latencies_s) > len(GOOD)


@pytest.mark.parametrize("loop", ["closed", "open"])
async def test_connections_that_are_cut_end_the_load_with_errors(loop: str) -> None:
    def write(out: asyncio.Transport, number: int) -> None:
        if number == 3:
            out.abort()
        else:
            out.write(GOOD)

    async with asyncio.timeout(20), serving(write) as connect:
        if loop == "closed":
            outcome = await closed_loop(connect, REQUESTS, LIMITS, connections=2)
        else:
            outcome = await open_loop(
                connect, REQUESTS, LIMITS, connections=2, rate=1000
            )
    assert len(outcome.latencies_s) == 6
    assert outcome.errors >= 2


@pytest.mark.parametrize("loop", ["closed", "open"])
async def test_a_server_that_never_answers_ends_the_load_in_time(loop: str) -> None:
    async with asyncio.timeout(20), serving(lambda out, n: None) as connect:
        if loop == "closed":
            outcome = await closed_loop(connect, REQUESTS, LIMITS, connections=2)
        else:
            outcome = await open_loop(
                connect, REQUESTS, LIMITS, connections=2, rate=100
            )
    assert not outcome.latencies_s
    assert outcome.errors >= 2


async def test_an_open_loop_counts_the_wait_for_a_free_connection() -> None:
    """One answer that takes long delays all who arrived meanwhile."""

    def write(out: asyncio.Transport, number: int) -> None:
        if number:
            out.write(GOOD)
        else:
            asyncio.get_running_loop().call_later(0.15, out.write, GOOD)

    async with serving(write) as connect:
        outcome = await open_loop(
            connect, REQUESTS, Limits(0.2, 5), connections=1, rate=500
        )
    assert outcome.errors == 0
    delayed = [latency for latency in outcome.latencies_s if latency > 0.03]
    assert len(delayed) > 10
