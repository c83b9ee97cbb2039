"""Small predictions are answered past the framework; nobody can tell but by the time.

A chunked body keeps a request from that way, so each pair of calls goes both ways.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import orjson
import pytest

from app.api.express import LARGEST_BODY
from tests import graphs
from tests.conftest import StartServer
from tests.live import LiveServer
from tests.processes import wait_until

V1 = "/api/v1/models/affine/predict"
V2 = "/v2/models/affine/infer"
ROW = {"input_data": {"x": [[1, 2]]}}
JSON = {"Content-Type": "application/json"}
CHANGING = re.compile(
    rb'"(id|request_id|created_at|inference_time_ms)":("[^"]*"|[0-9.]+)'
)


def oip(data: list[Any], **more: Any) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": data}
    return {"inputs": [tensor], **more}


@pytest.fixture
def server(start_server: StartServer) -> LiveServer:
    server = start_server(access_log=True, log_format="json", cache_ttl_s=0)
    files = {"file": ("affine.onnx", graphs.affine(2.0, width=2))}
    upload = f"{server.url}/api/v1/models/upload"
    names = {"metadata": '{"feature_names": ["a", "b"]}'}
    made = httpx.post(upload, files=files, data=names, timeout=60)
    assert made.status_code == 201, made.text
    registered = httpx.post(
        f"{server.url}/api/v1/models/affine/register",
        json={"feature_names": ["a", "b"]},
    )
    assert registered.status_code == 200, registered.text
    return server


def chunked(body: bytes) -> Iterator[bytes]:
    yield body


def both_ways(
    server: LiveServer, path: str, body: bytes, headers: dict[str, str]
) -> tuple[httpx.Response, httpx.Response]:
    url = server.url + path
    # The second run of a shape is the first that is known to be cheap.
    for _ in range(3):
        express = httpx.post(url, content=body, headers=headers)
    usual = httpx.post(url, content=chunked(body), headers=headers)
    return express, usual


CASES = {
    "tensors": (V1, ROW, {}),
    "features": (V1, {"features": {"a": 1, "b": 2}}, {}),
    "rows": (V1, {"rows": [{"a": 1, "b": 2}], "request_id": "mine"}, {}),
    "an id from outside": (V1, ROW, {"X-Request-ID": "theirs"}),
    "an id that can't be sent back": (V1, ROW, {"X-Request-ID": "a b"}),
    "by version": ("/api/v1/models/affine:1.0.0/predict", ROW, {}),
    "a score": ("/api/v1/score", {"features": {"a": 1, "b": 2}}, {}),
    "scores": ("/api/v1/score/batch", {"rows": [{"a": 1, "b": 2}]}, {}),
    "oip": (V2, oip([1, 2]), {}),
    "oip with an id": (V2, oip([1, 2], id="mine"), {}),
    "oip by version": ("/v2/models/affine/versions/1.0.0/infer", oip([1, 2]), {}),
    "oip in bytes": (
        V2,
        oip([1, 2], parameters={"binary_data_output": True}),
        {},
    ),
    "oip compressed": (V2, oip([1, 2]), {"Accept-Encoding": "gzip"}),
    "a ragged list": (V1, {"input_data": {"x": [[1], [2, 3]]}}, {}),
    "a wrong shape": (V1, {"input_data": {"x": [[1]]}}, {}),
    "a wrong datatype": (V2, {"inputs": [{"name": "x", "datatype": "INT8"}]}, {}),
    "an unknown model": ("/v2/models/nobody/infer", oip([1, 2]), {}),
    "an unknown version": ("/v2/models/affine/versions/9/infer", oip([1, 2]), {}),
    "a bad name": ("/api/v1/models/a@b@c/predict", ROW, {}),
    "another type": (V1, ROW, {"Content-Type": "text/plain"}),
    "csv wanted": (V1, ROW, {"Accept": "text/csv"}),
    "nothing acceptable": ("/api/v1/score", ROW, {"Accept": "image/png"}),
    "a bad length of the head": (
        V2,
        oip([1]),
        {"Inference-Header-Content-Length": "x"},
    ),
    "a head too long": (V2, oip([1, 2]), {"Inference-Header-Content-Length": "99999"}),
    "no path of ours": ("/api/v1/models/affine/predict/", ROW, {}),
    "a query": (f"{V1}?skip_cache=true", ROW, {}),
    "a name in percent": ("/api/v1/models/%61ffine/predict", ROW, {}),
}


def test_both_ways_say_the_same(server: LiveServer) -> None:
    for name, (path, body, headers) in CASES.items():
        express, usual = both_ways(
            server,
            path,
            orjson.dumps(body),
            {**JSON, "X-Request-ID": name[:1], **headers},
        )
        assert express.status_code == usual.status_code, name
        assert stable(express.content) == stable(usual.content), name
        assert named(express) == named(usual), name
        for answer in (express, usual):
            assert answer.headers["x-content-type-options"] == "nosniff", name


def test_of_several_ids_the_first_that_can_be_sent_back_counts(
    server: LiveServer,
) -> None:
    ids = [("X-Request-ID", "a b"), ("X-Request-ID", "good"), ("X-Request-ID", "late")]
    body = orjson.dumps(oip([1, 2]))
    for _ in range(3):
        express = httpx.post(server.url + V2, content=body, headers=ids)
    usual = httpx.post(server.url + V2, content=chunked(body), headers=ids)
    assert express.headers["x-request-id"] == usual.headers["x-request-id"] == "good"


@pytest.mark.parametrize("prefix", ["", "/ml"], ids=["stripped", "whole"])
def test_both_ways_log_the_whole_path_behind_a_proxy(
    start_server: StartServer, prefix: str
) -> None:
    server = start_server(base_path="/ml", access_log=True, log_format="json")
    files = {"file": ("affine.onnx", graphs.affine(2.0, width=2))}
    upload = f"{server.url}/ml/api/v1/models/upload"
    assert httpx.post(upload, files=files, timeout=60).status_code == 201
    for answer in both_ways(server, prefix + V2, orjson.dumps(oip([1, 2])), JSON):
        assert answer.status_code == 200
    lines = infer_lines(server, 4)
    assert {line["path"] for line in lines} == {"/ml" + V2}


def infer_lines(server: LiveServer, count: int) -> list[dict[str, Any]]:
    """The log's lines of so many calls; the last may come after its answer."""

    def found() -> list[str]:
        return [line for line in server.logs().splitlines() if "/infer" in line]

    wait_until(lambda: len(found()) >= count, "a line for each call")
    return [orjson.loads(line) for line in found()]


def stable(body: bytes) -> bytes:
    return CHANGING.sub(rb'"\1":0', body)


def named(answer: httpx.Response) -> dict[str, str]:
    headers = dict(answer.headers)
    for changing in ("date", "server-timing", "content-length"):
        headers.pop(changing, None)
    if not headers["x-request-id"].isascii() or len(headers["x-request-id"]) == 36:
        headers["x-request-id"] = "made up"
    return headers


def test_both_ways_are_counted_and_logged_alike(server: LiveServer) -> None:
    for _ in range(2):
        both_ways(server, V2, orjson.dumps(oip([1, 2])), JSON)
    page = httpx.get(f"{server.url}/metrics").text
    route = 'method="POST",route="/v2/models/{name}/infer",status_class="2xx"'
    assert f"mlforge_http_request_duration_seconds_count{{{route}}} 8.0" in page
    ok = 'model="affine",outcome="ok",version="1.0.0"'
    assert f"mlforge_inference_requests_total{{{ok}}} 8.0" in page
    assert 'mlforge_cache_requests_total{model="affine",result="bypass"} 8.0' in page
    lines = infer_lines(server, 8)
    assert len(lines) == 8
    assert len({tuple(sorted(line)) for line in lines}) == 1
    assert {line["cache"] for line in lines} == {"BYPASS"}


def request(body: bytes, *more: bytes, path: str = V2) -> bytes:
    head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d" % (
        path.encode(),
        len(body),
    )
    return b"\r\n".join([head, *more, b"", b""]) + body


async def read_answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        found: dict[str, Any] = orjson.loads(await reader.readexactly(int(length[1])))
    return found


def y_of(answer: dict[str, Any]) -> list[float]:
    data: list[float] = answer["outputs"][0]["data"]
    return data


@asynccontextmanager
async def connection(
    server: LiveServer, receive_bytes: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    port = httpx.URL(server.url).port
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_pipelined_requests_are_answered_in_order(server: LiveServer) -> None:
    bodies = [orjson.dumps(oip([i, i])) for i in range(300)]
    # Every third one has a header that only the endpoints read.
    usual = (b"content-encoding: identity",)
    sent = [request(b, *(usual if i % 3 == 0 else ())) for i, b in enumerate(bodies)]
    async with connection(server) as (reader, writer):
        for _ in range(3):
            writer.write(b"".join(sent))
            for i in range(300):
                assert y_of(await read_answer(reader)) == [2 * i + 1, 2 * i + 1]


async def test_a_request_in_pieces_is_answered(server: LiveServer) -> None:
    async with connection(server) as (reader, writer):
        for i in range(5):
            sent = request(orjson.dumps(oip([i, i])))
            for at in range(len(sent)):
                writer.write(sent[at : at + 1])
                await writer.drain()
            assert y_of(await read_answer(reader)) == [2 * i + 1, 2 * i + 1]


def test_a_large_body_goes_the_usual_way(server: LiveServer) -> None:
    rows = [[float(i), 0.0] for i in range(LARGEST_BODY // 4)]
    body = orjson.dumps({"input_data": {"x": rows}})
    assert len(body) > LARGEST_BODY
    for _ in range(3):
        answer = httpx.post(server.url + V1, content=body, headers=JSON)
        assert answer.json()["output_data"]["y"][-1] == [2 * rows[-1][0] + 1, 1]


async def test_a_client_that_does_not_read_is_not_answered_on(
    server: LiveServer,
) -> None:
    rows, count = 600, 4000
    tensor = {"name": "x", "shape": [rows, 2], "datatype": "FP32"}
    body = orjson.dumps({"inputs": [{**tensor, "data": [1] * rows * 2}]})
    assert len(body) < LARGEST_BODY
    for _ in range(3):
        await asyncio.to_thread(httpx.post, server.url + V2, content=body)
    async with connection(server, receive_bytes=65536) as (reader, writer):
        transport: Any = writer.transport
        transport.pause_reading()
        writer.write(request(body) * count)
        before, answered = -1, 0
        while answered != before:
            before, answered = answered, await asyncio.to_thread(infers, server)
        # The rest would wait in the server's memory.
        assert answered < count / 2
        transport.resume_reading()
        for _ in range(count):
            assert y_of(await read_answer(reader)) == [3] * rows * 2


def infers(server: LiveServer) -> int:
    """How many there were, when many other calls have been answered since."""
    for _ in range(30):
        page = httpx.get(f"{server.url}/metrics").text
    found = re.search(r'duration_seconds_count\{.*infer".* ([0-9.]+)', page)
    assert found is not None
    return int(float(found[1]))


async def test_stopping_answers_a_request_whose_body_is_on_its_way(
    server: LiveServer,
) -> None:
    sent = request(orjson.dumps(oip([1, 1])))
    async with connection(server) as (reader, writer):
        for _ in range(3):
            writer.write(sent)
            await read_answer(reader)
        writer.write(sent[:-10])
        await writer.drain()
        async with httpx.AsyncClient() as client:
            await client.get(f"{server.url}/api/v1/live")
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        try:
            async with asyncio.timeout(20):
                await not_listening(server)
            writer.write(sent[-10:])
            async with asyncio.timeout(20):
                answer = await reader.read()
        finally:
            assert await stopping == 0
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))


async def not_listening(server: LiveServer) -> None:
    while True:
        try:
            async with connection(server):
                pass
        except OSError:
            return
