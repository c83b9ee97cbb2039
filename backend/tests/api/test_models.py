"""The registry's calls over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.graphs import add_one, affine, columns

MODELS = "/api/v1/models"
UPLOAD = f"{MODELS}/upload"
NOBODY = "00000000-0000-4000-8000-000000000000"


async def _upload(
    client: httpx.AsyncClient, content: bytes, *, field: str = "file", **form: str
) -> httpx.Response:
    file = ("model.onnx", content, "application/octet-stream")
    return await client.post(UPLOAD, files={field: file}, data=form)


def _problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code
    assert problem["detail"]
    return problem


async def test_create_upload_validate(client: httpx.AsyncClient) -> None:
    created = await client.post(MODELS, json={"name": "iris"})
    assert created.status_code == 201
    assert created.json()["status"] == "pending"
    path = created.headers["location"]

    file = {"file": ("any.onnx", b"no model", "application/octet-stream")}
    received = await client.post(f"{path}/upload", files=file)
    assert received.status_code == 200, received.text
    assert received.json().keys() == {"id", "file_size_bytes", "file_hash", "status"}
    verdict = (await client.post(f"{path}/validate")).json()
    assert (verdict["valid"], verdict["status"]) == (False, "error")
    assert verdict["error_message"]

    file = {"file": ("any.onnx", add_one(), "application/octet-stream")}
    assert (await client.post(f"{path}/upload", files=file)).status_code == 200
    verdict = (await client.post(f"{path}/validate")).json()
    assert (verdict["valid"], verdict["status"]) == (True, "ready")
    assert verdict["error_message"] is None
    assert verdict["input_schema"]
    again = await client.post(f"{path}/upload", files=file)
    _problem(again, 409, "state_forbids")


async def test_redeploying_under_one_file_name_makes_new_versions(
    client: httpx.AsyncClient,
) -> None:
    first = await _upload(client, affine(2), field="model")
    second = await _upload(client, affine(3), field="model")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["model_id"] != first.json()["model_id"]
    assert second.json()["version"] == "1.1.0"
    registered = await client.post(
        f"{MODELS}/{second.json()['model_id']}/register",
        json={"metrics": {"auc": 0.9}, "model_config": {"depth": 3}},
    )
    assert registered.json()["model_metadata"] == {
        "metrics": {"auc": 0.9},
        "model_config": {"depth": 3},
    }


async def test_uploads_of_one_version_at_once_make_one(
    client: httpx.AsyncClient,
) -> None:
    answers = await asyncio.gather(
        *(_upload(client, affine(n), name="iris", version="1.0.0") for n in range(2, 6))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert (await client.get(MODELS)).json()["total"] == 1


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"name": "a b"}, "model name"),
        ({"name": ""}, "model name"),
        ({"name": NOBODY}, "UUID"),
        ({"version": "1:0"}, "version"),
        ({"version": "1" * 51}, "version"),
        ({"metadata": "{"}, "metadata"),
        ({"metadata": "[]"}, "metadata"),
        ({"metadata": '{"a": NaN}'}, "metadata.a"),
        ({"metadata": '{"a": "\\u0000"}'}, "metadata.a"),
        ({"metadata": '{"a": "\\ud800"}'}, "metadata.a"),
        ({"metadata": '{"score": {"output": "nope"}}'}, "score.output"),
        ({"description": "a\0b"}, "description"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_form_field_is_named_and_nothing_is_kept(
    client: httpx.AsyncClient, form: dict[str, str], word: str
) -> None:
    problem = _problem(await _upload(client, add_one(), **form), 422, "invalid_field")
    assert word in problem["detail"]
    assert (await client.get(MODELS)).json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": 7}, "name"),
        ({"name": "iris", "version": "a b"}, "version"),
        ({"name": "iris", "color": "red"}, "color"),
        ({"name": "iris", "model_metadata": []}, "model_metadata"),
        ({"name": "iris", "model_metadata": {"a": "\0"}}, "model_metadata"),
        ({"name": "iris", "description": "\0"}, "description"),
    ],
)
async def test_a_bad_create_is_refused(
    client: httpx.AsyncClient, body: object, loc: str
) -> None:
    response = await client.post(MODELS, json=body)
    assert response.status_code == 422, response.text
    assert loc in response.text
    assert (await client.get(MODELS)).json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"is_default": "yes"},
        {"is_default": None},
        {"status": "pending"},
        {"model_metadata": None},
        {"name": "other"},
        {"model_metadata": {"score": {}}},
    ],
)
async def test_a_bad_patch_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    await client.post(MODELS, json={"name": "iris"})
    response = await client.patch(f"{MODELS}/iris", json=body)
    assert response.status_code == 422, response.text


@pytest.mark.parametrize("body", ["[]", '"x"', "7", "null"])
async def test_register_takes_nothing_but_a_json_object(
    client: httpx.AsyncClient, body: str
) -> None:
    await client.post(MODELS, json={"name": "iris"})
    response = await client.post(
        f"{MODELS}/iris/register",
        content=body,
        headers={"content-type": "application/json"},
    )
    _problem(response, 400, "invalid_request")


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"page": "x"},
        {"page": "9" * 30},
        {"page_size": "0"},
        {"page_size": "101"},
        {"status": "great"},
        {"name": "a b"},
        {"search": "\0"},
        {"search": "x" * 201},
    ],
)
async def test_a_bad_query_is_refused(
    client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    response = await client.get(MODELS, params=query)
    assert response.status_code == 422, response.text


@pytest.mark.parametrize("ref", ["wine", "wine:1.0.0", "wine@canary", NOBODY])
async def test_an_unknown_model_is_404_everywhere(
    client: httpx.AsyncClient, ref: str
) -> None:
    path = f"{MODELS}/{ref}"
    file = {"file": ("any.onnx", b"x", "application/octet-stream")}
    for response in (
        await client.get(path),
        await client.patch(path, json={}),
        await client.delete(path),
        await client.post(f"{path}/upload", files=file),
        await client.post(f"{path}/validate"),
        await client.post(f"{path}/register", json={}),
        await client.get(f"{path}/openapi.json"),
        await client.get(f"{path}/file"),
    ):
        _problem(response, 404, "model_not_found")


@pytest.mark.parametrize("ref", ["a b", "-x", "a:", "a@", "a@b:c", "é", "a%0A"])
async def test_a_reference_that_can_be_none_is_422(
    client: httpx.AsyncClient, ref: str
) -> None:
    _problem(await client.get(f"{MODELS}/{ref}"), 422, "invalid_field")


async def test_patch_archive_default_and_delete(client: httpx.AsyncClient) -> None:
    model = (await _upload(client, add_one(), name="iris")).json()
    path = f"{MODELS}/iris:1.0.0"
    patched = await client.patch(path, json={"is_default": True, "description": "d"})
    assert (patched.json()["is_default"], patched.json()["description"]) == (True, "d")
    patched = await client.patch(path, json={"status": "archived"})
    assert (patched.json()["status"], patched.json()["is_default"]) == (
        "archived",
        False,
    )
    _problem(await client.get(f"{path}/openapi.json"), 409, "model_not_ready")
    assert (await client.patch(path, json={"status": "ready"})).status_code == 200
    deleted = await client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    _problem(await client.get(f"{MODELS}/{model['id']}"), 404, "model_not_found")
    body = {"input_data": {"x": [[1.0]]}}
    predicted = await client.post(f"{MODELS}/{model['id']}/predict", json=body)
    _problem(predicted, 404, "model_not_found")


async def test_versions_latest_and_aliases(client: httpx.AsyncClient) -> None:
    by_name = f"{MODELS}/by-name/iris"
    for number, version in enumerate(("1.0.0-rc.10", "1.0.0-rc.2", "1.0.0")):
        await _upload(client, affine(number + 2), name="iris", version=version)
    await client.post(MODELS, json={"name": "iris", "version": "2.0.0"})

    listed = (await client.get(f"{by_name}/versions")).json()
    assert [item["version"] for item in listed["versions"]] == [
        "2.0.0",
        "1.0.0",
        "1.0.0-rc.10",
        "1.0.0-rc.2",
    ]
    assert (listed["name"], listed["total"]) == ("iris", 4)
    assert listed["latest_version"] == "2.0.0"
    latest = await client.get(f"{by_name}/latest")
    assert latest.json()["version"] == "1.0.0"
    latest = await client.get(f"{by_name}/latest", params={"ready_only": "false"})
    assert latest.json()["version"] == "2.0.0"

    alias = f"{by_name}/aliases/production"
    _problem(await client.get(alias), 404, "alias_not_found")
    put = await client.put(alias, json={"version": "1.0.0-rc.2"})
    assert put.status_code == 200, put.text
    assert put.json()["version"] == "1.0.0-rc.2"
    assert (await client.get(alias)).json() == put.json()
    serving = (await client.get(f"{MODELS}/iris")).json()
    assert (serving["version"], serving["aliases"]) == ("1.0.0-rc.2", ["production"])
    aliases = (await client.get(f"{by_name}/aliases")).json()
    assert aliases == {"name": "iris", "aliases": [put.json()], "total": 1}
    pending = await client.put(alias, json={"version": "2.0.0"})
    _problem(pending, 409, "model_not_ready")
    _problem(await client.put(alias, json={"version": "9"}), 404, "model_not_found")
    assert (await client.delete(alias)).status_code == 204
    _problem(await client.delete(alias), 404, "alias_not_found")


@pytest.mark.parametrize("name", ["wine", "a b"])
async def test_calls_by_a_name_that_is_not_there(
    client: httpx.AsyncClient, name: str
) -> None:
    status, code = (
        (404, "model_not_found") if name == "wine" else (422, "invalid_field")
    )
    path = f"{MODELS}/by-name/{name}"
    for response in (
        await client.get(f"{path}/versions"),
        await client.get(f"{path}/latest"),
        await client.get(f"{path}/aliases"),
        await client.get(f"{path}/aliases/x"),
        await client.delete(f"{path}/aliases/x"),
        await client.put(f"{path}/aliases/x", json={"version": "1"}),
    ):
        _problem(response, status, code)


async def test_feature_names_are_checked_against_the_input(
    client: httpx.AsyncClient,
) -> None:
    await _upload(client, columns(4), name="table")
    path = f"{MODELS}/table"
    names = [spec["name"] for spec in (await client.get(path)).json()["input_schema"]]
    fit = await client.post(f"{path}/register", json={"feature_names": names})
    assert fit.json()["feature_names"] == names
    bad = await client.post(f"{path}/register", json={"feature_names": names[1:]})
    _problem(bad, 422, "invalid_field")


async def test_the_models_own_document_has_its_names_and_an_example_that_runs(
    client: httpx.AsyncClient,
) -> None:
    for name, content in (("plus", add_one()), ("table", columns(4))):
        await _upload(client, content, name=name)
        model = (await client.get(f"{MODELS}/{name}")).json()
        document = (await client.get(f"{MODELS}/{name}/openapi.json")).json()
        (path, operations), *_ = document["paths"].items()
        body = operations["post"]["requestBody"]["content"]["application/json"]
        (first, *_) = body["schema"]["oneOf"]
        tensors = first["properties"]["input_data"]["properties"]
        assert list(tensors) == [spec["name"] for spec in model["input_schema"]]
        assert body["examples"]
        for example in body["examples"].values():
            predicted = await client.post(path, json=example["value"])
            assert predicted.status_code == 200, predicted.text
