"""The registry through the application: upload, list, and what is refused."""

import hashlib

import httpx

from tests.graphs import add_one, classifier_zipmap

UPLOAD = "/api/v1/models/upload"


def _file(content: bytes, name: str = "model.onnx") -> tuple[str, bytes, str]:
    return (name, content, "application/octet-stream")


async def test_upload_onnx_model(client: httpx.AsyncClient) -> None:
    content = add_one()
    response = await client.post(UPLOAD, files={"file": _file(content, "plus.onnx")})
    assert response.status_code == 201, response.text
    model = response.json()
    assert response.headers["location"] == f"/api/v1/models/{model['id']}"
    assert model["model_id"] == model["id"]
    assert (model["name"], model["version"]) == ("plus", "1.0.0")
    assert model["status"] == "ready"
    assert model["file_size_bytes"] == len(content)
    assert model["file_hash"] == hashlib.sha256(content).hexdigest()
    assert model["input_schema"][0].keys() == {"name", "dtype", "shape"}
    assert model["input_schema"][0]["dtype"] == "float32"
    assert model["validation"]["deterministic"] is True

    fetched = await client.get(response.headers["location"])
    assert fetched.json() == model | {"execution": None}
    again = await client.post(UPLOAD, files={"file": _file(content, "plus.onnx")})
    assert (again.status_code, again.json()["id"]) == (200, model["id"])


async def test_upload_rejects_invalid_file(client: httpx.AsyncClient) -> None:
    for content in (b"this is no model", add_one()[:50], b"\0" * 100):
        response = await client.post(UPLOAD, files={"file": _file(content)})
        assert response.status_code == 422, response.text
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["code"] == "invalid_model"
        assert problem["detail"]
        assert "/" not in problem["detail"].replace("n/a", "")
    listed = await client.get("/api/v1/models")
    assert listed.json()["total"] == 0


async def test_upload_stores_metadata(client: httpx.AsyncClient) -> None:
    metadata = '{"team": "botany", "metrics": {"accuracy": 0.97}, "tags": ["ü"]}'
    response = await client.post(
        UPLOAD,
        files={"file": _file(classifier_zipmap())},
        data={
            "name": "iris",
            "version": "2.1.0",
            "description": "Iris species",
            "metadata": metadata,
        },
    )
    assert response.status_code == 201, response.text
    stored = (await client.get("/api/v1/models/iris:2.1.0")).json()
    assert stored == response.json() | {"execution": None}
    assert stored["description"] == "Iris species"
    assert stored["model_metadata"] == {
        "team": "botany",
        "metrics": {"accuracy": 0.97},
        "tags": ["ü"],
    }


async def test_list_models_returns_uploaded(client: httpx.AsyncClient) -> None:
    empty = (await client.get("/api/v1/models")).json()
    assert empty == {
        "items": [],
        "total": 0,
        "page": 1,
        "page_size": 20,
        "total_pages": 0,
    }
    for name in ("first", "second"):
        uploaded = await client.post(
            UPLOAD, files={"file": _file(add_one())}, data={"name": name}
        )
        assert uploaded.status_code == 201, uploaded.text
    listed = (await client.get("/api/v1/models")).json()
    assert listed["total"] == 2
    assert [item["name"] for item in listed["items"]] == ["second", "first"]
    found = (await client.get("/api/v1/models", params={"name": "first"})).json()
    assert [item["name"] for item in found["items"]] == ["first"]
