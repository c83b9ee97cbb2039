"""What the Open Inference Protocol tells of the server and of its models."""

from typing import Any

import httpx
import pytest

from tests import graphs
from tests.api.oip_calls import error_of, fp32, infer
from tests.calls import API, predict, upload


@pytest.fixture(autouse=True)
async def line(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.affine(), name="line")


async def got(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_the_server_says_what_it_can(
    client: httpx.AsyncClient, path: str
) -> None:
    server = await got(client, path)
    assert server["name"] == "mlforge"
    assert server["version"]
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(
        server["extensions"]
    )


async def test_it_is_live_and_ready_in_json(client: httpx.AsyncClient) -> None:
    assert await got(client, "/v2/health/live") == {"live": True}
    assert await got(client, "/v2/health/ready") == {"ready": True}


async def test_models_are_listed_while_they_are_ready(
    client: httpx.AsyncClient,
) -> None:
    await client.post(f"{API}/models", json={"name": "empty"})
    assert await got(client, "/v2/models") == {"models": ["line"]}


async def test_a_model_tells_its_tensors_and_versions(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.affine(3.0), name="line")
    assert await got(client, "/v2/models/line") == {
        "name": "line",
        "versions": ["1.1.0", "1.0.0"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        "properties": {},
    }
    one = await got(client, "/v2/models/line/versions/1.0.0")
    assert one["versions"] == ["1.0.0"]


async def test_what_is_no_tensor_is_described_as_the_one_it_becomes(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.classifier_zipmap(["no", "yes"]), name="kind")
    model = await got(client, "/v2/models/kind")
    assert model["outputs"][1] == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [-1, 2],
    }
    assert model["properties"] == {
        "outputs.probabilities.type": "seq(map(string,float32))",
        "outputs.probabilities.labels": '["no","yes"]',
    }
    config = await got(client, "/v2/models/kind/config")
    assert config["output"][0]["data_type"] == "TYPE_STRING"
    labels = config["parameters"]["outputs.probabilities.labels"]
    assert labels == {"string_value": '["no","yes"]'}


@pytest.mark.parametrize("place", ["line", "line/versions/1.0.0"])
async def test_readiness_and_configuration(
    client: httpx.AsyncClient, place: str
) -> None:
    ready = await got(client, f"/v2/models/{place}/ready")
    assert ready == {"name": "line", "ready": True}
    config = await got(client, f"/v2/models/{place}/config")
    assert config["name"] == "line"
    assert config["platform"] == "onnxruntime_onnx"
    assert config["backend"] == "onnxruntime"
    assert config["max_batch_size"] == 0
    assert config["input"] == [
        {
            "name": "x",
            "data_type": "TYPE_FP32",
            "format": "FORMAT_NONE",
            "dims": [-1, 3],
            "is_shape_tensor": False,
            "allow_ragged_batch": False,
            "optional": False,
        }
    ]
    assert config["default_model_filename"] == "model.onnx"


async def test_unknown_models_are_a_404(client: httpx.AsyncClient) -> None:
    for what in ("", "/ready", "/config", "/stats"):
        for place in ("no", "line/versions/9"):
            answer = await client.get(f"/v2/models/{place}{what}")
            error_of(answer, 404, "model_not_found")


async def test_statistics_count_cache_hits_apart(client: httpx.AsyncClient) -> None:
    rows = {"inputs": [fp32("x", [[1, 2, 3], [4, 5, 6]])]}
    for _ in range(3):
        await infer(client, "line", rows)
    await predict(client, "line", {"input_data": {"x": [[7, 8, 9]]}})
    await infer(client, "line", {"inputs": []})
    for path in (
        "/v2/models/stats",
        "/v2/models/line/stats",
        "/v2/models/line/versions/1.0.0/stats",
    ):
        (model,) = (await got(client, path))["model_stats"]
        assert (model["name"], model["version"]) == ("line", "1.0.0")
        assert model["last_inference"] > 1_600_000_000_000
        assert model["inference_count"] == 3
        assert model["execution_count"] == 2
        counts = {name: d["count"] for name, d in model["inference_stats"].items()}
        assert counts == {
            "success": 4,
            "fail": 1,
            "queue": 4,
            "compute_input": 2,
            "compute_infer": 2,
            "compute_output": 2,
            "cache_hit": 2,
            "cache_miss": 2,
        }
        assert [batch["batch_size"] for batch in model["batch_stats"]] == [1, 2]
        (memory,) = model["memory_usage"]
        assert memory["type"] == "CPU"
        assert memory["byte_size"] >= 0
        assert model["response_stats"] == {}


async def test_a_model_that_never_ran_uses_no_memory(
    client: httpx.AsyncClient,
) -> None:
    (model,) = (await got(client, "/v2/models/line/stats"))["model_stats"]
    assert model["memory_usage"] == []
    assert model["last_inference"] == 0
    assert model["batch_stats"] == []
