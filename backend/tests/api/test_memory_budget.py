"""Models beyond the memory budget: loaded in turn, or refused with what to do."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import ASGIApp

from app.main import create_app
from tests import graphs
from tests.asgi import running
from tests.calls import API, predict, predicted, problem_of, upload
from tests.conftest import MakeSettings

# Two tables of 3 MiB fit into the budget with room for all else, three do not.
BUDGET_MB = 8
ROWS = 3 * 2**20 // 4


@pytest.fixture
async def app(
    make_settings: MakeSettings, deployment: dict[str, str]
) -> AsyncIterator[ASGIApp]:
    settings = make_settings(
        **deployment, model_memory_budget_mb=BUDGET_MB, cache_ttl_s=0
    )
    async with running(create_app(settings)) as application:
        yield application


async def metric(client: httpx.AsyncClient, name: str) -> float:
    page = (await client.get("/metrics")).text
    [line] = [each for each in page.splitlines() if each.startswith(f"mlforge_{name} ")]
    return float(line.rpartition(" ")[2])


async def until_one_is_loaded(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while True:
            await asyncio.sleep(0)
            if await metric(client, "models_loaded") == 1:
                return


async def test_more_models_than_fit_are_served_in_turn(
    client: httpx.AsyncClient,
) -> None:
    names = ["a", "b", "c"]
    for number, name in enumerate(names):
        await upload(client, graphs.lookup(ROWS + number), name=name)
    for number in range(6):
        answer = await predicted(
            client, names[number % 3], {"input_data": {"i": [number]}}
        )
        assert answer["output_data"]["y"] == [number]
    assert await metric(client, "models_loaded") == 2
    assert await metric(client, "model_memory_bytes") <= BUDGET_MB * 2**20
    assert await metric(client, "model_memory_budget_bytes") == BUDGET_MB * 2**20
    assert await metric(client, "model_evictions_total") == 4


async def test_a_model_larger_than_the_budget_is_refused(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.lookup(4 * ROWS), name="large")
    response = await predict(client, "large", {"input_data": {"i": [1]}})
    detail = problem_of(response, 503, "model_load_failed")
    assert "more than the whole budget of 8 MiB" in detail
    assert "raise MODEL_MEMORY_BUDGET_MB to" in detail
    assert int(response.headers["retry-after"]) > 1


async def test_a_pinned_version_is_loaded_without_a_prediction(
    client: httpx.AsyncClient,
) -> None:
    model = await upload(client, graphs.lookup(ROWS), name="a")
    assert await metric(client, "models_loaded") == 0
    pinned = {"model_metadata": {"serving": {"pinned": True}}}
    response = await client.patch(f"{API}/models/{model['id']}", json=pinned)
    assert response.status_code == 200, response.text
    await until_one_is_loaded(client)
    for name in ("b", "c"):
        await upload(client, graphs.lookup(ROWS + ord(name)), name=name)
        await predicted(client, name, {"input_data": {"i": [1]}})
    assert await metric(client, "models_loaded") == 2
    loads = 'model_loads_total{result="ok"}'
    before = await metric(client, loads)
    await predicted(client, "a", {"input_data": {"i": [1]}})
    assert await metric(client, loads) == before
