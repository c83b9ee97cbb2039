"""Whose limit ends a prediction, and who is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from app.main import create_app
from tests import graphs
from tests.asgi import running
from tests.calls import predict, predicted, problem_of, upload
from tests.conftest import MakeSettings

SHORT = {"input_data": {"x": [0.0], "n": 3}}


def endless(number: int = 0) -> dict[str, Any]:
    return {"input_data": {"x": [float(number)], "n": 10**15}}


@pytest.fixture
async def app(make_settings: MakeSettings, sqlite_dsn: str) -> AsyncIterator[ASGIApp]:
    settings = make_settings(database_url=sqlite_dsn, inference_threads=1)
    async with running(create_app(settings)) as application:
        yield application


async def test_a_models_own_limit_stops_its_runs_and_no_others(
    client: httpx.AsyncClient,
) -> None:
    metadata = json.dumps({"serving": {"timeout_s": 0.2}})
    await upload(client, graphs.counted_loop(), name="slow", metadata=metadata)
    answer = await predict(client, "slow", endless())
    detail = problem_of(answer, 504, "inference_timeout")
    assert "the model's limit of 0.2 s" in detail
    assert "model_metadata.serving.timeout_s" in detail
    assert (await predicted(client, "slow", SHORT))["output_data"] == {"y": [3.0]}
    page = (await client.get("/metrics")).text
    assert 'mlforge_inference_timeouts_total{limit="model"} 1.0' in page


async def test_a_models_own_queue_limit_is_kept(client: httpx.AsyncClient) -> None:
    metadata = json.dumps({"serving": {"queue_limit": 0, "timeout_s": 0.5}})
    await upload(client, graphs.counted_loop(), name="slow", metadata=metadata)
    await predicted(client, "slow", SHORT)
    answers = await asyncio.gather(
        *(predict(client, "slow", endless(number)) for number in range(3))
    )
    ran, *refused = sorted(answers, key=lambda answer: -answer.status_code)
    problem_of(ran, 504, "inference_timeout")
    for answer in refused:
        assert "its limit is 0" in problem_of(answer, 503, "overloaded")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/models/slow/predict", endless()),
        (
            "/v2/models/slow/infer",
            {
                "inputs": [
                    {"name": "x", "shape": [1], "datatype": "FP32", "data": [0]},
                    {"name": "n", "shape": [], "datatype": "INT64", "data": [10**15]},
                ]
            },
        ),
    ],
    ids=["predict", "infer"],
)
async def test_a_caller_says_how_long_it_waits(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    await upload(client, graphs.counted_loop(), name="slow")
    answer = await client.post(path, json=body, headers={"X-Request-Timeout": "0.2"})
    assert answer.status_code == 504
    assert "the 0.2 s that the request gave it" in answer.text
    answer = await client.post(path, json=body, headers={"X-Request-Timeout": "soon"})
    assert answer.status_code == 400
    assert "X-Request-Timeout must be a number of seconds above 0" in answer.text
    page = (await client.get("/metrics")).text
    assert 'mlforge_inference_timeouts_total{limit="request"} 1.0' in page
