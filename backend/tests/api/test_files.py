"""The files of a version, for download."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.api import files
from app.api.deps import RuntimeDep
from app.artifacts.local import LocalStore
from app.artifacts.store import Artifact
from app.auth.principal import EVERYBODY, Principal
from app.errors import MLForgeError
from tests.artifacts.files import commit_files, sha256

GRAPH = b"graph"
WEIGHTS = b"weights"


@dataclass(frozen=True, slots=True)
class OneVersion:
    """A registry that knows one version, under any reference."""

    name: str
    version: str
    artifact: Artifact

    async def artifact_of(self, ref: str) -> "OneVersion":
        return self


async def anybody(*_: object) -> Principal:
    return EVERYBODY


async def refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MLForgeError)
    return JSONResponse({"detail": error.detail}, status_code=error.status)


@pytest.fixture
async def client(store: LocalStore) -> AsyncIterator[httpx.AsyncClient]:
    artifact = await commit_files(store, model_onnx=GRAPH, m_data=WEIGHTS)
    registry = OneVersion("iris", "1.0.0", artifact)
    app = FastAPI()
    app.include_router(files.router)
    app.add_exception_handler(MLForgeError, refuse)
    identity = SimpleNamespace(admit=anybody)
    runtime = SimpleNamespace(registry=registry, store=store, identity=identity)
    app.state.runtime = runtime
    app.dependency_overrides[get_args(RuntimeDep)[1].dependency] = lambda: runtime

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"request_id": "one"}}, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=with_state), base_url="http://mlforge.test"
    ) as client:
        yield client


async def test_graph_is_downloaded_under_its_version_s_name(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/api/v1/models/iris/file")
    assert (answer.status_code, answer.content) == (200, GRAPH)
    assert answer.headers["etag"] == f'"{sha256(GRAPH)}"'
    assert answer.headers["content-disposition"].endswith('filename="iris-1.0.0.onnx"')


async def test_companion_is_downloaded_under_the_name_the_graph_gives_it(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/api/v1/models/iris/file", params={"file": "m.data"})
    assert (answer.status_code, answer.content) == (200, WEIGHTS)
    assert answer.headers["etag"] == f'"{sha256(WEIGHTS)}"'
    assert answer.headers["content-disposition"].endswith('filename="m.data"')


async def test_head_and_ranges_work_on_the_route(client: httpx.AsyncClient) -> None:
    head = await client.head("/api/v1/models/iris/file")
    assert (head.status_code, head.headers["content-length"]) == (200, "5")
    part = await client.get("/api/v1/models/iris/file", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"ra")


def change_the_graph(folder: Path) -> None:
    (file,) = folder.rglob("model.onnx")
    file.chmod(0o640)
    file.write_bytes(b"grapH")


async def test_file_changed_on_disk_is_an_error_and_no_download(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    url = "/api/v1/models/iris/file"
    assert (await client.get(url)).content == GRAPH
    change_the_graph(tmp_path)
    for headers in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"}):
        answer = await client.get(url, headers=headers)
        assert answer.status_code == 500
        assert "upload the same file again" in answer.json()["detail"]
    assert (await client.get(url, params={"file": "m.data"})).content == WEIGHTS


@pytest.mark.parametrize("name", ["other.data", "../../x", "/etc/passwd"])
async def test_file_the_version_has_not_is_not_found(
    client: httpx.AsyncClient, name: str
) -> None:
    answer = await client.get("/api/v1/models/iris/file", params={"file": name})
    assert answer.status_code == 404
    assert "model.onnx, m.data" in answer.json()["detail"]


async def test_schema_lists_the_download_once(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    assert list(schema["paths"]["/api/v1/models/{ref}/file"]) == ["get"]
