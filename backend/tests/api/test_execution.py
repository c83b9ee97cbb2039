"""What a model runs on, as its page and the metrics tell."""

import re
from typing import Any

import httpx

from tests.graphs import add_one

MODELS = "/api/v1/models"
ON_CPU = ["CPUExecutionProvider"]


async def _upload(client: httpx.AsyncClient, name: str) -> None:
    file = {"file": ("model.onnx", add_one(), "application/octet-stream")}
    answer = await client.post(f"{MODELS}/upload", files=file, data={"name": name})
    assert answer.status_code == 201, answer.text


async def _predict(client: httpx.AsyncClient, name: str) -> None:
    body = {"input_data": {"x": [1, 2]}, "skip_cache": True}
    answer = await client.post(f"{MODELS}/{name}/predict", json=body)
    assert answer.json()["output_data"] == {"y": [2.0, 3.0]}, answer.text


async def _execution(client: httpx.AsyncClient, name: str) -> Any:
    return (await client.get(f"{MODELS}/{name}")).json()["execution"]


async def _set(client: httpx.AsyncClient, name: str, **serving: object) -> Any:
    body = {"model_metadata": {"serving": serving}}
    return await client.patch(f"{MODELS}/{name}", json=body)


async def _providers_metric(client: httpx.AsyncClient) -> list[str]:
    page = (await client.get("/metrics")).text
    return re.findall(r"^mlforge_model_provider_info(\{.*\} \S+)$", page, re.MULTILINE)


async def test_page_and_metrics_say_what_a_loaded_model_runs_on(
    client: httpx.AsyncClient,
) -> None:
    await _upload(client, "inc")
    assert await _execution(client, "inc") is None
    assert await _providers_metric(client) == []
    await _predict(client, "inc")
    execution = await _execution(client, "inc")
    assert execution == {"providers": ON_CPU, "threads": 1, "threads_alone": 1}
    assert await _providers_metric(client) == [
        '{model="inc",provider="cpu",version="1.0.0"} 1.0'
    ]
    assert (await client.delete(f"{MODELS}/inc")).status_code == 204
    assert await _providers_metric(client) == []


async def test_new_settings_hold_from_the_next_prediction(
    client: httpx.AsyncClient,
) -> None:
    await _upload(client, "inc")
    await _predict(client, "inc")
    provider = "AzureExecutionProvider"
    assert (await _set(client, "inc", providers=[provider])).status_code == 200
    assert await _execution(client, "inc") is None
    await _predict(client, "inc")
    assert (await _execution(client, "inc"))["providers"] == ON_CPU


async def test_models_with_the_same_file_keep_their_own_settings(
    client: httpx.AsyncClient,
) -> None:
    for name in ("one", "two"):
        await _upload(client, name)
    assert (await _set(client, "two", threads=1)).status_code == 200
    await _predict(client, "two")
    assert await _execution(client, "one") is None
    await _predict(client, "one")
    assert (await client.delete(f"{MODELS}/two")).status_code == 204
    assert await _execution(client, "one") is not None


async def test_a_provider_that_can_not_be_had_is_refused_where_it_is_set(
    client: httpx.AsyncClient,
) -> None:
    await _upload(client, "inc")
    answer = await _set(client, "inc", providers=["cuda", "cpu"])
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["errors"][0]["loc"] == "model_metadata.serving.providers"
    assert "install onnxruntime-gpu" in problem["detail"]
    await _predict(client, "inc")
