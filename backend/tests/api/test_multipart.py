"""Model uploads: whatever the client sends, staged whole or refused and gone."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message

from app.api.multipart import receive_upload
from app.artifacts.local import LocalStore
from app.artifacts.store import MODEL_FILE, Artifact
from app.errors import (
    InsufficientStorage,
    InvalidField,
    InvalidRequest,
    MLForgeError,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from tests.api.uploads import PartSpec, cut, encode, receive_of, request_of

LIMIT_BYTES = 4 << 20
GRAPH = PartSpec("file", b"graph\r\n--b0undar\r\nmore", "m.onnx")
WEIGHTS = PartSpec("data", b"weights", "m.onnx.data")

Taken = tuple[Artifact, str, dict[str, str]]


async def take(
    store: LocalStore,
    request: Request,
    *,
    limit_bytes: int = LIMIT_BYTES,
    idle_timeout_s: float = 30,
) -> Taken:
    async with receive_upload(
        request, store, limit_bytes=limit_bytes, idle_timeout_s=idle_timeout_s
    ) as upload:
        return upload.staging.artifact(), upload.filename, upload.fields


async def take_parts(store: LocalStore, *parts: PartSpec) -> Taken:
    return await take(store, request_of([encode(*parts)]))


@pytest.fixture(autouse=True)
def no_staging_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    staging = tmp_path / "data" / "staging"
    assert not staging.is_dir() or not list(staging.iterdir())


@pytest.mark.parametrize("field", ["file", "model"])
async def test_lone_file_is_the_graph(store: LocalStore, field: str) -> None:
    part = PartSpec(field, b"graph", "My model (1).onnx")
    artifact, filename, fields = await take_parts(store, part)
    assert [file.name for file in artifact.files] == [MODEL_FILE]
    assert artifact.model.size_bytes == 5
    assert (filename, fields) == ("My model (1).onnx", {})


@pytest.mark.parametrize(
    "filename", ["blob", "model.bin", "x.data", "../../etc/passwd"]
)
async def test_lone_file_is_the_graph_whatever_its_name(
    store: LocalStore, filename: str
) -> None:
    artifact, found, _ = await take_parts(store, PartSpec("file", b"g", filename))
    assert [file.name for file in artifact.files] == [MODEL_FILE]
    assert found == filename.rpartition("/")[2]


@pytest.mark.parametrize(
    "parts",
    [
        (GRAPH, WEIGHTS),
        (WEIGHTS, GRAPH),
        (GRAPH, PartSpec("external_data", b"weights", "m.onnx.data")),
        (GRAPH, PartSpec("file", b"weights", "m.onnx.data")),
        (PartSpec("file", b"weights", "m.onnx.data"), GRAPH),
        (PartSpec("model", b"weights", "m.onnx.data"), GRAPH),
        (PartSpec("file", b"weights", "dir/m.onnx.data"), GRAPH),
        (PartSpec("file", GRAPH.content, "blob"), WEIGHTS),
        (WEIGHTS, PartSpec("model", GRAPH.content, "blob")),
        (
            PartSpec("file", b"weights", "m.onnx.data"),
            PartSpec("file", GRAPH.content, "blob"),
        ),
    ],
)
async def test_graph_and_companion_are_told_apart_in_any_order(
    store: LocalStore, parts: tuple[PartSpec, ...]
) -> None:
    expected, _, _ = await take_parts(store, GRAPH, WEIGHTS)
    assert [file.name for file in expected.files] == [MODEL_FILE, "m.onnx.data"]
    artifact, _, _ = await take_parts(store, *parts)
    assert artifact == expected


async def test_fields_come_along_wherever_they_stand(store: LocalStore) -> None:
    _, _, fields = await take_parts(
        store,
        PartSpec("name", "größe".encode()),
        GRAPH,
        PartSpec("metadata", b'{"a": 1}' + b" " * (512 << 10)),
        PartSpec("description", b""),
    )
    assert fields["name"] == "größe"
    assert fields["description"] == ""
    assert len(fields["metadata"]) == 8 + (512 << 10)


async def test_file_input_left_empty_in_a_form_is_no_file(store: LocalStore) -> None:
    artifact, _, fields = await take_parts(store, GRAPH, PartSpec("data", b"", ""))
    assert [file.name for file in artifact.files] == [MODEL_FILE]
    assert fields == {}


@st.composite
def chunkings(draw: st.DrawFn, body: bytes) -> list[bytes]:
    cuts = draw(st.lists(st.integers(0, len(body)), max_size=12))
    edges = [0, *sorted(cuts), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


TRICKY = encode(
    PartSpec("name", b"\r\n--"),
    PartSpec("data", b"\r\r\n\r\n-" * 9 + b"\r\n--b0undarx--\r\n", "w.data"),
    PartSpec("file", b"\r\n--b0undar" * 5 + b"\r", "m.onnx"),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chunks=chunkings(TRICKY))
async def test_any_chunking_of_a_body_gives_the_same_upload(
    store: LocalStore, chunks: list[bytes]
) -> None:
    expected = await take(store, request_of([TRICKY]))
    assert await take(store, request_of(chunks)) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_small_chunks_give_the_same_upload(store: LocalStore, size: int) -> None:
    expected = await take(store, request_of([TRICKY]))
    assert await take(store, request_of(cut(TRICKY, size))) == expected
    assert expected[0].model.size_bytes == 11 * 5 + 1


def file_of(size: int) -> list[bytes]:
    return cut(encode(PartSpec("file", bytes(size), "m.onnx")), 64 << 10)


async def test_declared_length_over_the_limit_is_refused_unread(
    store: LocalStore,
) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was read")

    length = ("content-length", str(LIMIT_BYTES + 1))
    with pytest.raises(PayloadTooLarge, match="the limit is 4 MiB"):
        await take(store, request_of([], headers=[length], receive=receive))


async def test_chunked_body_is_cut_at_the_limit(store: LocalStore) -> None:
    chunks = file_of(LIMIT_BYTES * 2)
    given = 0

    async def receive() -> Message:
        nonlocal given
        given += 1
        return {"type": "http.request", "body": chunks[given - 1], "more_body": True}

    with pytest.raises(PayloadTooLarge, match="the limit is 4 MiB"):
        await take(store, request_of([], receive=receive))
    assert given == LIMIT_BYTES // (64 << 10) + 1


async def test_client_that_disconnects_leaves_nothing(store: LocalStore) -> None:
    receive = receive_of(file_of(3 << 20)[:-3], ending={"type": "http.disconnect"})
    with pytest.raises(ClientDisconnect):
        await take(store, request_of([], receive=receive))


async def test_client_that_stalls_is_cut(store: LocalStore) -> None:
    receive = receive_of(file_of(3 << 20)[:-3], stall=True)
    with pytest.raises(RequestTimeout, match="stood still"):
        await take(store, request_of([], receive=receive), idle_timeout_s=0.01)


class SlowClient:
    """Sends chunks, each after `pause_s` on the loop's clock."""

    def __init__(
        self, chunks: Sequence[bytes], pause_s: float, patched: pytest.MonkeyPatch
    ) -> None:
        self._next = receive_of(chunks)
        self._pause_s = pause_s
        self._waited_s = 0.0
        loop = asyncio.get_running_loop()
        self._real_time = loop.time
        patched.setattr(loop, "time", self._time)

    def _time(self) -> float:
        return self._real_time() + self._waited_s

    async def receive(self) -> Message:
        self._waited_s += self._pause_s
        await asyncio.sleep(0)
        return await self._next()


async def test_client_that_drips_bytes_is_cut(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = cut(encode(PartSpec("file", bytes(1 << 20), "m.onnx")), 1)
    with monkeypatch.context() as patched:
        client = SlowClient(body, 1.0, patched)
        with pytest.raises(RequestTimeout):
            await take(store, request_of([], receive=client.receive), idle_timeout_s=30)


async def test_client_that_is_slow_but_steady_is_served(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = cut(encode(PartSpec("file", bytes(1 << 20), "m.onnx")), 4 << 10)
    with monkeypatch.context() as patched:
        client = SlowClient(body, 20.0, patched)
        request = request_of([], receive=client.receive)
        artifact, _, _ = await take(store, request, idle_timeout_s=30)
    assert artifact.size_bytes == 1 << 20


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        (None, "no Content-Type"),
        ("application/json", "application/json"),
        ("application/octet-stream", "application/octet-stream"),
        ("multipart/mixed; boundary=x", "multipart/mixed"),
    ],
)
async def test_other_content_type_is_refused_with_the_wanted_one(
    store: LocalStore, content_type: str | None, found: str
) -> None:
    with pytest.raises(UnsupportedMediaType) as raised:
        await take(store, request_of([encode(GRAPH)], content_type=content_type))
    assert found in raised.value.detail
    assert "multipart/form-data" in raised.value.detail


async def test_compressed_body_is_refused(store: LocalStore) -> None:
    gzip = [("content-encoding", "gzip")]
    with pytest.raises(UnsupportedMediaType, match="gzip"):
        await take(store, request_of([encode(GRAPH)], headers=gzip))


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 300,
        "multipart/form-data; boundary=another",
    ],
)
async def test_missing_or_wrong_boundary_is_a_bad_request(
    store: LocalStore, content_type: str
) -> None:
    with pytest.raises(InvalidRequest):
        await take(store, request_of([encode(GRAPH)], content_type=content_type))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n\r\n",
        b"graph",
        b"--b0undary",
        b'{"not": "multipart"}',
        encode(GRAPH)[:-10],
        encode(GRAPH, WEIGHTS)[:120],
        b"--b0undary\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b0undary--\r\n",
        b"--b0undary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0undary--\r\n",
        b"--b0undary\r\n\r\nx\r\n--b0undary--\r\n",
        b"--b0undary\r\nbad header\r\n\r\nx\r\n--b0undary--\r\n",
        b"--b0undary\r\nX: " + b"y" * 9000 + b"\r\n\r\nx\r\n--b0undary--\r\n",
        b"--b0undary\r\n" + b"X: y\r\n" * 50 + b"\r\nx\r\n--b0undary--\r\n",
    ],
)
async def test_malformed_or_truncated_body_is_a_bad_request(
    store: LocalStore, body: bytes
) -> None:
    with pytest.raises(InvalidRequest):
        await take(store, request_of(cut(body, 50)))


@pytest.mark.parametrize(
    ("parts", "error", "told"),
    [
        ((), InvalidField, "curl -F file=@model.onnx http://mlforge.test/api/v1/"),
        ((PartSpec("name", b"x"),), InvalidField, "no model file"),
        ((WEIGHTS,), InvalidField, "no model file"),
        ((PartSpec("file", b"", ""),), InvalidField, "no model file"),
        ((PartSpec("file", b"graph"),), InvalidField, "came as text"),
        ((PartSpec("file", b"", "m.onnx"),), InvalidField, "is empty"),
        ((GRAPH, PartSpec("data", b"", "m.data")), InvalidField, "is empty"),
        ((GRAPH, GRAPH), InvalidField, "two models"),
        ((GRAPH, WEIGHTS, WEIGHTS), InvalidField, "send each file once"),
        ((GRAPH, PartSpec("data", b"x", "model.onnx")), InvalidField, "may not be"),
        ((GRAPH, PartSpec("data", b"x", "a b")), InvalidField, "'a b'"),
        ((GRAPH, PartSpec("data", b"x", "..")), InvalidField, "'..'"),
        ((PartSpec("upload", b"x", "m.onnx"),), InvalidField, "`upload`"),
        ((GRAPH, PartSpec("name", b"\xff")), InvalidField, "UTF-8"),
        ((GRAPH, PartSpec("n", b"a"), PartSpec("n", b"b")), InvalidField, "twice"),
        ((PartSpec("name", bytes((64 << 10) + 1)),), PayloadTooLarge, "64 kB"),
        ((PartSpec("metadata", bytes((1 << 20) + 1)),), PayloadTooLarge, "1024 kB"),
        ((PartSpec("file", bytes(70_000)),), PayloadTooLarge, "send it as a file"),
        ([PartSpec(str(n), b"") for n in range(33)], PayloadTooLarge, "32 parts"),
        (
            (GRAPH, *(PartSpec("data", b"x", f"w{n}") for n in range(17))),
            InvalidField,
            "at most 16",
        ),
    ],
)
async def test_refused_upload_says_what_is_wanted(
    store: LocalStore,
    parts: Sequence[PartSpec],
    error: type[MLForgeError],
    told: str,
) -> None:
    with pytest.raises(error) as raised:
        await take_parts(store, *parts)
    assert told in raised.value.detail


async def test_hopeless_companion_is_refused_before_its_bytes_come(
    store: LocalStore,
) -> None:
    head = encode(GRAPH, PartSpec("data", b"", "a b")).removesuffix(
        b"\r\n--b0undary--\r\n"
    )
    with pytest.raises(InvalidField, match="'a b'"):
        await take(store, request_of([], receive=receive_of([head], stall=True)))


async def test_full_disk_is_passed_on(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(InsufficientStorage):
            await take_parts(store, GRAPH)


async def test_committed_upload_outlives_the_request(store: LocalStore) -> None:
    request = request_of([encode(GRAPH, WEIGHTS)])
    async with receive_upload(
        request, store, limit_bytes=LIMIT_BYTES, idle_timeout_s=30
    ) as upload:
        artifact = await store.commit(upload.staging)
    path = await store.path(artifact, MODEL_FILE)
    assert path.read_bytes() == GRAPH.content


async def test_real_client_uploads_both_files_of_an_export(store: LocalStore) -> None:
    async def endpoint(request: Request) -> JSONResponse:
        artifact, filename, fields = await take(store, request)
        return JSONResponse([artifact.digest, filename, fields])

    app = Starlette(routes=[Route("/upload", endpoint, methods=["POST"])])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://mlforge.test"
    ) as client:
        answer = await client.post(
            "/upload",
            data={"name": "iris"},
            files=[
                ("data", ("m.onnx.data", WEIGHTS.content)),
                ("model", ("m.onnx", GRAPH.content, "application/octet-stream")),
            ],
        )
    expected, _, _ = await take_parts(store, GRAPH, WEIGHTS)
    assert answer.json() == [expected.digest, "m.onnx", {"name": "iris"}]
