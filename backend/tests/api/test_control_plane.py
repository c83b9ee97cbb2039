"""What all control-plane calls have in common: types, errors, HEAD, empty answers."""

import json
from typing import Any

import httpx
import pytest

from tests import graphs
from tests.artifacts.files import sha256
from tests.calls import API, problem_of, upload

MODELS = f"{API}/models"
TYPED = [
    ("POST", MODELS, {"name": "other"}),
    ("PATCH", f"{MODELS}/line", {"description": "d"}),
    ("POST", f"{MODELS}/line/register", {"a": 1}),
    ("PUT", f"{MODELS}/by-name/line/aliases/live", {"version": "1.0.0"}),
    ("POST", f"{API}/jobs", {"model_id": "line", "input_data": {"x": [[1, 2, 3]]}}),
]


@pytest.fixture
async def line(client: httpx.AsyncClient) -> dict[str, Any]:
    return await upload(client, graphs.affine(2), name="line")


@pytest.mark.parametrize(("method", "path", "body"), TYPED)
async def test_a_body_that_is_not_called_json_is_415(
    client: httpx.AsyncClient,
    line: dict[str, Any],
    method: str,
    path: str,
    body: dict[str, Any],
) -> None:
    content = json.dumps(body).encode()
    for media_type in ("application/x-www-form-urlencoded", "text/plain", ""):
        headers = {"content-type": media_type} if media_type else {}
        answer = await client.request(method, path, content=content, headers=headers)
        detail = problem_of(answer, 415, "unsupported_media_type")
        assert "curl: -H 'Content-Type: application/json'" in detail
        assert media_type in detail
    for media_type in ("application/json; charset=utf-8", "Application/JSON"):
        headers = {"content-type": media_type, "content-encoding": "identity"}
        answer = await client.request(method, path, content=content, headers=headers)
        assert answer.status_code < 300 or answer.status_code == 409, answer.text


@pytest.mark.parametrize(("method", "path", "body"), TYPED)
async def test_a_compressed_body_is_415(
    client: httpx.AsyncClient,
    line: dict[str, Any],
    method: str,
    path: str,
    body: dict[str, Any],
) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = await client.request(method, path, content=b"\x1f\x8b", headers=headers)
    assert "gzip" in problem_of(answer, 415, "unsupported_media_type")


async def test_a_status_that_can_not_be_set_is_told_in_plain_words(
    client: httpx.AsyncClient, line: dict[str, Any]
) -> None:
    answer = await client.patch(f"{MODELS}/line", json={"status": "great"})
    detail = problem_of(answer, 422, "invalid_field")
    assert "'archived' or 'ready'" in detail
    assert "VersionStatus" not in answer.text


async def test_feature_names_in_an_upload_s_metadata_name_the_columns(
    client: httpx.AsyncClient,
) -> None:
    metadata = {"feature_names": ["a", "b", "c"], "team": "math"}
    model = await upload(
        client, graphs.affine(2), name="line", metadata=json.dumps(metadata)
    )
    assert model["feature_names"] == ["a", "b", "c"]
    assert model["model_metadata"] == {"team": "math"}
    row = {"features": {"a": 1, "b": 2, "c": 3}}
    assert (await client.post(f"{MODELS}/line/predict", json=row)).status_code == 200


@pytest.mark.parametrize("names", [["a"], "abc", None, ["a", "a", "b"], ["a", "b", 1]])
async def test_wrong_feature_names_of_an_upload_leave_nothing(
    client: httpx.AsyncClient, names: object
) -> None:
    answer = await client.post(
        f"{MODELS}/upload",
        files={"file": ("line.onnx", graphs.affine(2))},
        data={"metadata": json.dumps({"feature_names": names})},
    )
    assert "feature_names" in problem_of(answer, 422, "invalid_field")
    assert (await client.get(MODELS)).json()["total"] == 0


async def test_feature_names_are_no_metadata(
    client: httpx.AsyncClient, line: dict[str, Any]
) -> None:
    body = {"model_metadata": {"feature_names": ["a", "b", "c"]}}
    for answer in (
        await client.patch(f"{MODELS}/line", json=body),
        await client.post(MODELS, json={"name": "other", **body}),
    ):
        assert "/register" in problem_of(answer, 422, "invalid_field")


async def test_archived_content_again_is_200(
    client: httpx.AsyncClient, line: dict[str, Any]
) -> None:
    await client.patch(f"{MODELS}/line", json={"status": "archived"})
    file = {"file": ("line.onnx", graphs.affine(2))}
    answer = await client.post(f"{MODELS}/upload", files=file)
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["status"]) == (line["id"], "archived")


async def test_a_model_lists_its_files_and_tells_of_the_graph(
    client: httpx.AsyncClient,
) -> None:
    graph, data = graphs.external_data_pair()
    name = "model.onnx.data"
    model = await upload(client, graph, name="two", companions={name: data})
    assert model["file_size_bytes"] == len(graph)
    assert model["file_hash"] == sha256(graph)
    assert model["files"] == [
        {"name": "model.onnx", "size_bytes": len(graph), "sha256": sha256(graph)},
        {"name": name, "size_bytes": len(data), "sha256": sha256(data)},
    ]
    for file in model["files"]:
        query = {"file": file["name"]}
        answer = await client.get(f"{MODELS}/two/file", params=query)
        assert sha256(answer.content) == file["sha256"]
    created = await client.post(MODELS, json={"name": "none"})
    assert created.json()["files"] is None
    listed = (await client.get(MODELS, params={"name": "two"})).json()["items"]
    assert listed[0]["files"] == model["files"]


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        f"{API}/health",
        f"{API}/ready",
        f"{API}/live",
        f"{MODELS}/line",
        f"{MODELS}/line/file",
    ],
)
async def test_head_answers_as_get_does(
    client: httpx.AsyncClient, line: dict[str, Any], path: str
) -> None:
    got, head = await client.get(path), await client.head(path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_empty_answers_have_no_type(
    client: httpx.AsyncClient, line: dict[str, Any]
) -> None:
    alias = f"{MODELS}/by-name/line/aliases/live"
    await client.put(alias, json={"version": "1.0.0"})
    body = {"model_id": "line", "input_data": {"x": [[1, 2, 3]]}}
    job = (await client.post(f"{API}/jobs", json=body)).json()
    await client.post(f"{API}/jobs/{job['id']}/cancel")
    await client.get(f"{API}/jobs/{job['id']}/result", params={"wait": 20})
    for path in (
        alias,
        f"{MODELS}/line/cache",
        f"{MODELS}/line",
        f"{API}/jobs/{job['id']}",
    ):
        answer = await client.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers
