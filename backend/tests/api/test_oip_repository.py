"""The model repository of the Open Inference Protocol: index, load and unload."""

import base64
from typing import Any

import httpx
import pytest

from tests import graphs
from tests.api.oip_calls import LINE, error_of, infer
from tests.calls import API, upload

REPOSITORY = "/v2/repository"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def index(client: httpx.AsyncClient, body: bytes = b"") -> list[Any]:
    answer = await client.post(f"{REPOSITORY}/index", content=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    entries = answer.json()
    assert isinstance(entries, list)
    return entries


async def load(
    client: httpx.AsyncClient, name: str, **parameters: str
) -> httpx.Response:
    body = {"parameters": parameters} if parameters else {}
    return await client.post(f"{REPOSITORY}/models/{name}/load", json=body)


async def unload(
    client: httpx.AsyncClient, name: str, **parameters: Any
) -> httpx.Response:
    body = {"parameters": {"unload_dependents": False, **parameters}}
    return await client.post(f"{REPOSITORY}/models/{name}/unload", json=body)


async def states(client: httpx.AsyncClient) -> dict[str, str]:
    return {entry["version"]: entry["state"] for entry in await index(client)}


@pytest.fixture
async def two_versions(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.affine(), name="line")
    await upload(client, graphs.affine(5.0), name="line")


async def test_an_empty_repository_is_an_empty_list(client: httpx.AsyncClient) -> None:
    assert await index(client) == []


async def test_every_version_has_its_state_and_reason(
    client: httpx.AsyncClient, two_versions: None
) -> None:
    await client.post(f"{API}/models", json={"name": "empty"})
    await client.patch(f"{API}/models/line:1.0.0", json={"status": "archived"})
    entries = await index(client)
    assert entries == [
        {
            "name": "empty",
            "version": "1.0.0",
            "state": "UNAVAILABLE",
            "reason": "pending: upload its file and validate it first",
        },
        {"name": "line", "version": "1.1.0", "state": "READY"},
        {
            "name": "line",
            "version": "1.0.0",
            "state": "UNAVAILABLE",
            "reason": "unloaded",
        },
    ]
    assert await index(client, b'{"ready": true}') == [entries[1]]


async def test_a_model_is_unloaded_and_loaded_again(
    client: httpx.AsyncClient, two_versions: None
) -> None:
    answer = await unload(client, "line")
    assert (answer.status_code, answer.content) == (200, b"")
    assert await states(client) == {"1.1.0": "UNAVAILABLE", "1.0.0": "UNAVAILABLE"}
    error_of(await infer(client, "line", LINE), 503, "model_not_ready")
    assert (await unload(client, "line")).status_code == 200
    answer = await load(client, "line")
    assert (answer.status_code, answer.content) == (200, b"")
    assert await states(client) == {"1.1.0": "READY", "1.0.0": "UNAVAILABLE"}
    assert (await infer(client, "line", LINE)).status_code == 200


async def test_one_version_is_unloaded_and_loaded(
    client: httpx.AsyncClient, two_versions: None
) -> None:
    assert (await unload(client, "line", version="1.1.0")).status_code == 200
    assert await states(client) == {"1.1.0": "UNAVAILABLE", "1.0.0": "READY"}
    answer = await infer(client, "line", LINE)
    assert answer.json()["model_version"] == "1.0.0"
    assert (await load(client, "line", version="1.1.0")).status_code == 200
    answer = await infer(client, "line", LINE)
    assert answer.json()["model_version"] == "1.1.0"


async def test_a_load_has_the_session_ready(
    client: httpx.AsyncClient, two_versions: None
) -> None:
    path = "/v2/models/line/versions/1.1.0/stats"
    before = (await client.get(path)).json()["model_stats"][0]
    assert before["memory_usage"] == []
    await load(client, "line")
    after = (await client.get(path)).json()["model_stats"][0]
    assert after["memory_usage"]
    await unload(client, "line")
    await load(client, "line", version="1.0.0")
    other = (await client.get("/v2/models/line/stats")).json()["model_stats"]
    assert [model["version"] for model in other] == ["1.0.0"]


async def test_a_load_brings_its_files(client: httpx.AsyncClient) -> None:
    """As tritonclient's load_model(name, config=…, files=…) sends them."""
    files = {"file:1/model.onnx": encoded(graphs.affine())}
    assert (await load(client, "new", config="{}", **files)).status_code == 200
    answer = await infer(client, "new/versions/1", LINE)
    assert answer.json()["outputs"][0]["data"] == [3.0, 5.0, 7.0]
    again = await load(client, "new", config="{}", **files)
    assert again.status_code == 200
    await unload(client, "new")
    back = await load(client, "new", config="{}", **files)
    assert back.status_code == 200
    assert (await infer(client, "new", LINE)).status_code == 200
    other = {"file:1/model.onnx": encoded(graphs.affine(9.0))}
    answer = await load(client, "new", config="{}", **other)
    assert "another version" in error_of(answer, 400, "version_exists")


async def test_a_load_brings_a_graph_and_its_data(client: httpx.AsyncClient) -> None:
    graph, weights = graphs.external_data_pair("net.data")
    files = {
        "file:1/net.onnx": encoded(graph),
        "file:1/net.data": encoded(weights),
    }
    answer = await load(client, "big", config="{}", **files)
    assert answer.status_code == 200, answer.text
    assert (await client.get("/v2/models/big/ready")).status_code == 200


SENSELESS = [
    ({"config": "{}", "file:1/model.onnx": "%%%"}, "invalid_request"),
    ({"config": "{}", "file:model.onnx": "YQ=="}, "invalid_request"),
    ({"file:1/model.onnx": "YQ=="}, "invalid_request"),
    ({"config": "x"}, "invalid_request"),
    ({"config": "[]"}, "invalid_request"),
    ({"other": "x"}, "invalid_request"),
    ({"config": "{}", "file:1/model.txt": "YQ=="}, "invalid_request"),
    ({"config": "{}", "file:1/model.onnx": "YQ=="}, "invalid_model"),
    ({"config": "{}", "file:-/model.onnx": "YQ=="}, "invalid_field"),
    ({"config": "{}", "file:1/a.onnx": "YQ==", "file:1/..": "YQ=="}, "invalid_field"),
]


async def test_a_load_that_makes_no_sense_leaves_nothing(
    client: httpx.AsyncClient,
) -> None:
    for parameters, code in SENSELESS:
        error_of(await load(client, "bad", **parameters), 400, code)
    assert await index(client) == []


async def test_what_never_became_ready_can_not_be_loaded(
    client: httpx.AsyncClient,
) -> None:
    await client.post(f"{API}/models", json={"name": "empty"})
    error_of(await load(client, "empty"), 400, "state_forbids")
    error_of(await load(client, "no"), 404, "model_not_found")
    error_of(await load(client, "a b"), 400, "invalid_field")


async def test_a_load_of_a_served_model_changes_nothing(
    client: httpx.AsyncClient,
) -> None:
    for version, k in (("1.0.0", 2.0), ("2.0.0", 3.0)):
        await upload(client, graphs.affine(k), name="pair", version=version)
    await unload(client, "pair", version="2.0.0")
    assert (await load(client, "pair")).status_code == 200
    answer = (await infer(client, "pair", LINE)).json()
    assert answer["model_version"] == "1.0.0"


async def test_an_unloaded_model_comes_back_as_what_its_name_means(
    client: httpx.AsyncClient,
) -> None:
    for version, k in (("2.0.0", 2.0), ("3.0.0", 3.0)):
        await upload(client, graphs.affine(k), name="pair", version=version)
    alias = "/api/v1/models/by-name/pair/aliases/production"
    assert (await client.put(alias, json={"version": "2.0.0"})).status_code == 200
    await unload(client, "pair")
    assert (await load(client, "pair")).status_code == 200
    answer = (await infer(client, "pair", LINE)).json()
    assert answer["model_version"] == "2.0.0"
