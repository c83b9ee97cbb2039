"""Files over HTTP: whole, in ranges, or not at all when the caller has them."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.api.downloads import download
from app.artifacts.store import ArtifactFile
from app.errors import RangeNotSatisfiable

CONTENT = bytes(range(100))
ETAG = '"5ee4"'
FILE = ArtifactFile("model.onnx", len(CONTENT), "5ee4")


def refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RangeNotSatisfiable)
    return JSONResponse(
        {"detail": error.detail}, status_code=error.status, headers=error.headers
    )


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    path = tmp_path / "model.onnx"
    path.write_bytes(CONTENT)

    async def endpoint(request: Request) -> Response:
        return download(request, path, FILE, filename="iris-1.0.0.onnx")

    app = Starlette(
        routes=[Route("/file", endpoint, methods=["GET", "HEAD"])],
        exception_handlers={RangeNotSatisfiable: refuse},
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://mlforge.test"
    ) as client:
        yield client


async def test_whole_file_comes_with_its_name_and_tag(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/file")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["etag"] == ETAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == "100"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="iris-1.0.0.onnx"'
    )


async def test_head_tells_the_size_and_sends_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.head("/file", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "100"
    assert answer.headers["etag"] == ETAG


@pytest.mark.parametrize(
    "known", [ETAG, f"W/{ETAG}", "*", f'"other", {ETAG}', f'W/"a",{ETAG} , "b"']
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_caller_that_has_the_file_gets_304(
    client: httpx.AsyncClient, known: str, method: str
) -> None:
    headers = {"If-None-Match": known, "Range": "bytes=0-9"}
    answer = await client.request(method, "/file", headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == ETAG


async def test_caller_with_another_file_gets_this_one(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/file", headers={"If-None-Match": '"other", "5ee"'})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=90-", 90, 100),
        ("bytes=-7", 93, 100),
        ("bytes=-1000", 0, 100),
        ("bytes=99-5000", 99, 100),
        ("Bytes= 5-6 ", 5, 7),
    ],
)
async def test_one_range_is_served(
    client: httpx.AsyncClient, asked: str, begin: int, end: int
) -> None:
    answer = await client.get("/file", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[begin:end])
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/100"
    assert answer.headers["content-length"] == str(end - begin)
    assert answer.headers["etag"] == ETAG


async def test_several_ranges_are_served_as_parts(client: httpx.AsyncClient) -> None:
    answer = await client.get("/file", headers={"Range": "bytes=0-4,50-54"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert CONTENT[0:5] in answer.content
    assert CONTENT[50:55] in answer.content


@pytest.mark.parametrize(
    "asked", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=500-600,700-"]
)
async def test_range_outside_of_the_file_is_416(
    client: httpx.AsyncClient, asked: str
) -> None:
    answer = await client.get("/file", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */100"
    assert "100 bytes" in answer.json()["detail"]


@pytest.mark.parametrize(
    "asked",
    [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=0x1-2",
        "bytes=1--2",
        "bytes=0-1,x",
        "bytes=0-1,500-600",
        "lines=0-5",
        "bytes=" + "9" * 5000 + "-",
        "bytes=\u00b2-",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 99, 2)) * 9,
    ],
)
async def test_range_that_is_none_is_ignored(
    client: httpx.AsyncClient, asked: str
) -> None:
    answer = await client.get("/file", headers=[(b"Range", asked.encode())])
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), ('"other"', 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)],
)
async def test_range_holds_only_for_the_file_the_caller_began(
    client: httpx.AsyncClient, condition: str, status: int
) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": condition}
    answer = await client.get("/file", headers=headers)
    assert answer.status_code == status
    assert answer.content == (CONTENT[:10] if status == 206 else CONTENT)
