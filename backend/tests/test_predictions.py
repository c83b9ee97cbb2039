"""Predictions over HTTP, in both deployments."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis
from starlette.types import ASGIApp

from app.config import Settings
from app.main import create_app
from tests import graphs
from tests.asgi import running
from tests.calls import API, predict, predicted, problem_of, upload
from tests.conftest import MakeSettings
from tests.exports import load_export
from tests.processes import wait_until


async def test_predict_accepts_arbitrary_features(client: httpx.AsyncClient) -> None:
    export = load_export("sklearn_diabetes_mixed_columns")
    model = await upload(client, export.path.read_bytes(), name="mixed")
    rows = [row | {"unknown": "x"} for row in export.rows()]
    answer = await predicted(client, "mixed", {"rows": rows})
    assert answer["model_id"] == model["id"]
    assert answer["ignored_features"] == ["unknown"]
    assert len(answer["predictions"]) == len(rows)
    single = await predicted(client, "mixed", {"features": rows[0]})
    assert single["predictions"][0]["output_label"] == "high"
    assert answer["predictions"][0]["output_label"] == "high"


async def test_returns_prediction_array(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.add_one(), name="add")
    answer = await predicted(client, "add", {"input_data": {"x": [1.5, 2, "NaN"]}})
    assert answer["output_data"] == {"y": [2.5, 3.0, "NaN"]}
    assert answer["model_name"] == "add"
    assert answer["model_version"] == "1.0.0"
    assert answer["inference_time_ms"] >= 0
    assert "predictions" not in answer


async def test_validates_input_matches_model_schema(client: httpx.AsyncClient) -> None:
    good = load_export("lightgbm_iris")
    await upload(client, good.path.read_bytes(), name="iris")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"input_data": {}}, "float32"),
        ({"input_data": {"input": [1.0, 2.0]}}, "float32 ["),
        ({"input_data": {"input": [["a"] * 4]}}, "expected a number"),
        ({"input_data": {"input": [[1.0] * 3]}}, "[1, 3]"),
        ({"input_data": {"other": [[1.0] * 4]}}, 'no input "other"'),
    ]
    for body, wanted in cases:
        response = await predict(client, "iris", body)
        assert wanted in problem_of(response, 400, "invalid_input")


async def test_rejects_missing_features(client: httpx.AsyncClient) -> None:
    export = load_export("xgboost_18_features")
    model = await upload(client, export.path.read_bytes())
    names = [f"f{i}" for i in range(18)]
    registered = await client.post(
        f"{API}/models/{model['id']}/register", json={"feature_names": names}
    )
    assert registered.status_code == 200
    features = dict.fromkeys(names[2:], 1.0)
    response = await predict(client, model["id"], {"features": features})
    assert "f0, f1" in problem_of(response, 400, "missing_features")
    assert [e["loc"] for e in response.json()["errors"]] == [
        "features.f0",
        "features.f1",
    ]


async def test_caches_predictions_in_redis(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await upload(client, graphs.add_one(), name="add")
    body = {"input_data": {"x": [1, 2]}}
    first = await predict(client, "add", body)
    again = await predict(client, "add", {"input_data": {"x": [1.0, 2.0]}})
    assert (first.headers["x-cache"], again.headers["x-cache"]) == ("MISS", "HIT")
    assert again.json()["cached"]
    assert again.json()["output_data"] == first.json()["output_data"]
    metrics = (await client.get(f"{API}/cache/metrics")).json()["prediction_cache"]
    assert (metrics["hits"], metrics["misses"]) == (1, 1)
    if settings.redis_url:
        await asyncio.to_thread(
            _until_redis_holds, settings.redis_url, first.json()["model_id"]
        )


def _until_redis_holds(url: str, version_id: str) -> None:
    with Redis.from_url(url) as redis:
        wait_until(
            lambda: bool(redis.keys(f"mlforge:predictions:{version_id}:*")),
            "the prediction in Redis",
            timeout_s=5,
        )


async def test_handles_model_not_found(client: httpx.AsyncClient) -> None:
    body = {"input_data": {"x": [1]}}
    for ref, code in [
        ("nobody", "model_not_found"),
        ("6d3b1e52-7d0b-4bb1-8f43-5d7a7f5f2c11", "model_not_found"),
    ]:
        assert "GET /api/v1/models" in problem_of(
            await predict(client, ref, body), 404, code
        )
    await upload(client, graphs.add_one(), name="add")
    for ref, code in [
        ("add:9.9.9", "model_not_found"),
        ("add@staging", "alias_not_found"),
    ]:
        problem_of(await predict(client, ref, body), 404, code)


async def test_a_version_is_named_in_four_ways(client: httpx.AsyncClient) -> None:
    one = await upload(
        client, graphs.affine(1.0, width=1), name="line", version="1.0.0"
    )
    two = await upload(
        client, graphs.affine(2.0, width=1), name="line", version="2.0.0"
    )
    body = {"input_data": {"x": [[1.0]]}}

    async def served(ref: str) -> str:
        version: str = (await predicted(client, ref, body))["model_id"]
        return version

    assert await served(one["id"]) == one["id"]
    assert await served("line") == two["id"]
    assert await served("line:1.0.0") == one["id"]
    response = await client.put(
        f"{API}/models/by-name/line/aliases/production", json={"version": "1.0.0"}
    )
    assert response.status_code == 200, response.text
    assert await served("line@production") == one["id"]
    assert await served("line") == one["id"]


async def test_only_ready_versions_predict(client: httpx.AsyncClient) -> None:
    pending = await client.post(f"{API}/models", json={"name": "later"})
    body = {"input_data": {"x": [1.0]}}
    detail = problem_of(await predict(client, "later", body), 409, "model_not_ready")
    assert "pending" in detail
    assert pending.status_code == 201
    model = await upload(client, graphs.add_one(), name="add")
    path = f"{API}/models/{model['id']}"
    assert (await client.patch(path, json={"status": "archived"})).status_code == 200
    problem_of(await predict(client, "add", body), 409, "model_not_ready")
    assert (await client.patch(path, json={"status": "ready"})).status_code == 200
    await predicted(client, "add", body)


async def test_a_deleted_model_predicts_no_more(client: httpx.AsyncClient) -> None:
    model = await upload(client, graphs.add_one(), name="add")
    body = {"input_data": {"x": [1.0]}}
    await predicted(client, "add", body)
    assert (await client.delete(f"{API}/models/{model['id']}")).status_code == 204
    problem_of(await predict(client, "add", body), 404, "model_not_found")


async def test_outputs_can_be_chosen_and_ordered(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.two_inputs(), name="two")
    detail = (await client.get(f"{API}/models/two")).json()
    names = [output["name"] for output in detail["output_schema"]]
    inputs = {spec["name"]: _ones(spec["shape"]) for spec in detail["input_schema"]}
    whole = await predicted(client, "two", {"input_data": inputs})
    assert list(whole["output_data"]) == names
    turned = list(reversed(names))
    answer = await predicted(client, "two", {"input_data": inputs, "outputs": turned})
    assert list(answer["output_data"]) == turned
    one = await predicted(client, "two", {"input_data": inputs, "outputs": names[-1:]})
    assert list(one["output_data"]) == names[-1:]


def _ones(shape: list[Any]) -> Any:
    return np.ones([d if isinstance(d, int) else 1 for d in shape]).tolist()


async def test_a_random_model_is_never_cached(client: httpx.AsyncClient) -> None:
    model = await upload(client, graphs.random_normal(), name="dice")
    assert model["validation"]["deterministic"] is False
    inputs = {s["name"]: _ones(s["shape"]) for s in model["input_schema"]}
    answers = [await predict(client, "dice", {"input_data": inputs}) for _ in range(2)]
    assert [a.headers["x-cache"] for a in answers] == ["BYPASS", "BYPASS"]
    assert answers[0].json()["output_data"] != answers[1].json()["output_data"]


async def test_skip_cache_runs_again_and_stores(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.add_one(), name="add")
    body = {"input_data": {"x": [7]}}
    skipped = await predict(client, "add", body | {"skip_cache": True})
    assert skipped.headers["x-cache"] == "BYPASS"
    assert (await predict(client, "add", body)).headers["x-cache"] == "HIT"


async def test_clearing_a_models_cache_makes_it_run_again(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.add_one(), name="add")
    body = {"input_data": {"x": [7]}}
    await predict(client, "add", body)
    assert (await client.delete(f"{API}/models/add/cache")).status_code == 204
    assert (await predict(client, "add", body)).headers["x-cache"] == "MISS"


async def test_the_request_id_comes_back(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.add_one(), name="add")
    body = {"input_data": {"x": [7]}, "request_id": "mine-1"}
    answer = await predict(client, "add", body)
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.json()["request_id"] == "mine-1"
    by_header = await client.get(
        f"{API}/models/nobody", headers={"x-request-id": "mine-2"}
    )
    assert by_header.json()["request_id"] == "mine-2"


async def test_types_that_are_not_json_are_refused(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.add_one(), name="add")
    path = f"{API}/models/add/predict"
    response = await client.post(path, content=b"x", headers={"content-type": "a/b"})
    assert "application/json" in problem_of(response, 415, "unsupported_media_type")
    body = {"input_data": {"x": [7]}}
    response = await client.post(path, json=body, headers={"accept": "text/html"})
    assert "application/json" in problem_of(response, 406, "not_acceptable")
    for accept in ["application/json", "text/html, */*;q=0.1", "application/*"]:
        ok = await client.post(path, json=body, headers={"accept": accept})
        assert ok.status_code == 200


async def test_equal_predictions_at_once_run_once(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.counted_loop(), name="loop")
    model = (await client.get(f"{API}/models/loop")).json()
    inputs = {
        s["name"]: 200_000 if not s["shape"] else _ones(s["shape"])
        for s in model["input_schema"]
    }
    answers = await asyncio.gather(
        *(predict(client, "loop", {"input_data": inputs}) for _ in range(8))
    )
    assert {a.status_code for a in answers} == {200}
    metrics = (await client.get(f"{API}/cache/metrics")).json()["prediction_cache"]
    assert metrics["misses"] == 1
    assert metrics["coalesced"] + metrics["hits"] == 7


@pytest.mark.parametrize("name", ["xgboost_18_features", "lightgbm_wine_zipmap"])
async def test_scores_run_on_the_only_model(
    client: httpx.AsyncClient, name: str
) -> None:
    export = load_export(name)
    model = await upload(client, export.path.read_bytes())
    names = list(export.feature_names or [])
    await client.post(
        f"{API}/models/{model['id']}/register", json={"feature_names": names}
    )
    rows = export.rows()
    batch = (await client.post(f"{API}/score/batch", json={"rows": rows})).json()
    single = (await client.post(f"{API}/score", json={"features": rows[0]})).json()
    assert len(batch["scores"]) == len(rows)
    assert single["score"] == batch["scores"][0]["score"]
    assert 0 <= single["confidence"] <= 1
    assert single["model_id"] == model["id"]


async def test_with_two_models_one_must_be_the_default(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.affine(1.0), name="one")
    two = await upload(client, graphs.affine(2.0), name="two")
    body = {"features": {"a": 1, "b": 2, "c": 3}}
    detail = problem_of(
        await client.post(f"{API}/score", json=body), 409, "no_default_model"
    )
    assert "is_default" in detail
    path = f"{API}/models/{two['id']}"
    moved = await client.patch(path, json={"is_default": True})
    assert moved.json()["is_default"]
    answer = await client.post(f"{API}/score", json=body)
    assert "feature_names" in problem_of(answer, 400, "invalid_request")
    await client.post(f"{path}/register", json={"feature_names": ["a", "b", "c"]})
    scored = (await client.post(f"{API}/score", json=body)).json()
    assert scored["model_id"] == two["id"]
    assert "confidence" not in scored


async def test_a_slow_model_stops_nobody_else(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.counted_loop(), name="slow")
    await upload(client, graphs.add_one(), name="add")
    long = {"input_data": {"x": [0.0], "n": 3_000_000}}
    slow = asyncio.create_task(predict(client, "slow", long))
    for n in range(20):
        answer = await predicted(client, "add", {"input_data": {"x": [n]}})
        assert answer["output_data"] == {"y": [n + 1.0]}
    assert not slow.done()
    assert (await slow).json()["output_data"] == {"y": [3_000_000.0]}


async def test_a_prediction_past_its_time_limit_is_stopped(
    make_settings: MakeSettings, sqlite_dsn: str
) -> None:
    settings = make_settings(database_url=sqlite_dsn, inference_timeout_s=0.2)
    async with running(create_app(settings)) as app, _client(app) as client:
        await upload(client, graphs.counted_loop(), name="slow")
        endless = {"input_data": {"x": [0.0], "n": 10**15}}
        answer = await predict(client, "slow", endless)
        assert "0.2 s" in problem_of(answer, 504, "inference_timeout")
        short = {"input_data": {"x": [0.0], "n": 3}}
        assert (await predicted(client, "slow", short))["output_data"] == {"y": [3.0]}


def _client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://mlforge.test"
    )
