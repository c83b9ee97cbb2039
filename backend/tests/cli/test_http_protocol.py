"""What a client may do to a connection, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import orjson
import pytest
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.api.body import read_body
from app.cli.http_protocol import GuardedProtocol

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hasty(GuardedProtocol):
    head_timeout_s: ClassVar[float] = 0.2
    body_idle_s: ClassVar[float] = 0.2
    look_every_s: ClassVar[float] = 0.05
    connections_max: ClassVar[int] = 3
    settling_s: ClassVar[float] = 0.1


class Echo:
    """Answers with the length of the body; notes who left in the middle."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.release = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.scope = scope
        if scope["path"] == "/held":
            self.arrived.release()
            await self.release.wait()
        if scope["path"] == "/refused":
            await send({"type": "http.response.start", "status": 401})
            await send({"type": "http.response.body", "body": b"no"})
            return
        try:
            body = await read_body(scope, receive, 2**20)
        except ClientDisconnect:
            self.left.set()
            raise
        text = str(len(body)).encode()
        headers = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def port(echo: Echo) -> AsyncIterator[int]:
    async with served(echo, Hasty) as port:
        yield port


@pytest.fixture
async def patient_port(echo: Echo) -> AsyncIterator[int]:
    """Of a server with the limits that it has, for what takes a loop its time."""
    async with served(echo, GuardedProtocol) as port:
        yield port


@asynccontextmanager
async def served(echo: Echo, protocol: type[GuardedProtocol]) -> AsyncIterator[int]:
    config = uvicorn.Config(
        echo, port=0, http=protocol, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    yield server.servers[0].sockets[0].getsockname()[1]
    await server.shutdown()


async def connect(port: int) -> Stream:
    return await asyncio.open_connection("127.0.0.1", port)


async def answer_to(port: int, sent: bytes, *, read_s: float = 10) -> bytes:
    reader, writer = await connect(port)
    writer.write(sent)
    async with asyncio.timeout(read_s):
        answer = await reader.read()
    writer.close()
    return answer


def problem(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    found: dict[str, Any] = orjson.loads(body)
    assert found["request_id"].encode() in head
    assert b"x-content-type-options: nosniff" in head
    return found


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


async def test_a_whole_request_is_answered(port: int) -> None:
    answer = await answer_to(port, HEAD + b"content-length: 3\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n3")


async def test_what_is_no_http_gets_a_problem(port: int) -> None:
    found = problem(await answer_to(port, b"hello there\r\n\r\n"))
    assert (found["status"], found["code"]) == (400, "invalid_request")


async def test_a_head_without_end_is_cut_at_its_limit(port: int) -> None:
    reader, writer = await connect(port)
    writer.write(HEAD)
    line = b"x-filler: " + b"a" * 4000 + b"\r\n"
    try:
        for _ in range(5000):
            writer.write(line)
            await writer.drain()
    except ConnectionError:
        pass
    else:
        found = problem(await reader.read())
        assert (found["status"], found["code"]) == (431, "head_too_large")
    writer.close()


async def test_headers_within_the_limit_pass_whatever_the_body(port: int) -> None:
    body = b"a" * 500_000
    head = HEAD + b"content-length: 500000\r\nx-filler: " + b"a" * 30_000 + b"\r\n\r\n"
    assert (await answer_to(port, head + body)).endswith(b"500000")


@pytest.mark.parametrize("sent", [b"", b"POST / HT", HEAD])
async def test_a_client_that_never_ends_its_head_is_cut(port: int, sent: bytes) -> None:
    assert await answer_to(port, sent) == b""


async def test_a_client_silent_in_its_body_is_cut(port: int, echo: Echo) -> None:
    assert await answer_to(port, HEAD + b"content-length: 9\r\n\r\nabc") == b""
    async with asyncio.timeout(10):
        await echo.left.wait()


async def test_fields_after_the_body_are_no_headers(port: int, echo: Echo) -> None:
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    trailers = b"x-api-key: a key\r\nauthorization: Bearer key\r\n"
    answer = await answer_to(port, head + b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")
    assert answer.endswith(b"\r\n\r\n3")
    names = [name for name, _ in echo.scope["headers"]]
    assert names == [b"host", b"connection", b"transfer-encoding"]


@pytest.mark.parametrize(
    "framing",
    [b"content-length: 1000000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"],
)
async def test_a_body_that_was_refused_is_not_taken_in_whole(
    port: int, framing: bytes
) -> None:
    reader, writer = await connect(port)
    writer.write(b"POST /refused HTTP/1.1\r\nhost: x\r\n" + framing)
    async with asyncio.timeout(20):
        assert (await reader.readuntil(b"no\r\n")).startswith(b"HTTP/1.1 401")
        sent, piece = 0, b"10000\r\n" + b"a" * 65536 + b"\r\n"
        try:
            while sent < 500_000_000:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
        except ConnectionError:
            pass
    writer.close()
    assert sent < 100_000_000


async def test_a_small_body_that_was_refused_keeps_the_connection(port: int) -> None:
    refused = b"POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
    next_one = HEAD + b"content-length: 3\r\n\r\nabc"
    answer = await answer_to(port, refused + b"a" * 100_000 + next_one)
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.endswith(b"\r\n\r\n3")


async def test_a_body_that_trickles_is_cut(port: int, echo: Echo) -> None:
    reader, writer = await connect(port)
    writer.write(HEAD + b"content-length: 100000\r\n\r\n")
    async with asyncio.timeout(10):
        try:
            while not echo.left.is_set():
                writer.write(b"a")
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(echo.left.wait(), 0.02)
        except ConnectionError:
            pass
        assert await read_to_the_end(reader) == b""
        await echo.left.wait()
    writer.close()


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    """What comes before the peer closes, or resets what it had not read."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_body_in_crumbs_is_refused(patient_port: int, echo: Echo) -> None:
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    reader, writer = await connect(patient_port)
    writer.write(head + b"1\r\na\r\n" * 70_000)
    async with asyncio.timeout(60):
        answer = await read_to_the_end(reader)
        await echo.left.wait()
    writer.close()
    # What was not read yet may reset the connection before the answer is.
    if answer:
        found = problem(answer)
        assert (found["status"], found["code"]) == (400, "invalid_request")
        assert "small chunks" in found["detail"]


async def test_many_chunks_that_carry_something_pass(patient_port: int) -> None:
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    body = b"1\r\na\r\n" * 60_000 + b"0\r\n\r\n"
    assert (await answer_to(patient_port, head + body, read_s=90)).endswith(b"60000")


HELD = b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_an_idle_connection_makes_room_for_a_new_one(
    port: int, echo: Echo
) -> None:
    streams = [await connect(port) for _ in range(3)]
    for _, writer in streams[1:]:
        writer.write(HELD)
    closed = asyncio.create_task(streams[0][0].read())
    async with asyncio.timeout(10):
        while not closed.done():
            newcomer = await answer_to(port, HEAD + b"content-length: 3\r\n\r\nabc")
        assert await closed == b""
        assert newcomer.endswith(b"\r\n\r\n3")
        echo.release.set()
        for reader, _ in streams[1:]:
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    for _, writer in streams:
        writer.close()


async def test_a_connection_beyond_those_at_work_is_refused(
    port: int, echo: Echo
) -> None:
    streams = [await connect(port) for _ in range(3)]
    for _, writer in streams:
        writer.write(HELD)
    for _ in streams:
        await echo.arrived.acquire()
    answer = await answer_to(port, b"")
    found = problem(answer)
    assert (found["status"], found["code"]) == (503, "overloaded")
    assert b"Retry-After: 1" in answer
    echo.release.set()
    for reader, writer in streams:
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
