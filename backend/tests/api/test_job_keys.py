"""`Idempotency-Key`: a request sent twice is one job."""

import asyncio

import httpx
import pytest

from tests import graphs
from tests.api.file_jobs import JOBS, embedded_only, send
from tests.calls import problem_of, upload

CSV = b"a,b,c\n1,2,3\n"
PREDICTION = {"model_id": "line", "input_data": {"x": [[1.0, 2.0, 3.0]]}}


@pytest.fixture(autouse=True)
async def line(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.affine(feature_names=["a", "b", "c"]), name="line")


async def count(client: httpx.AsyncClient) -> int:
    total: int = (await client.get(JOBS)).json()["total"]
    return total


async def test_the_same_file_under_the_same_key_is_the_same_job(
    client: httpx.AsyncClient,
) -> None:
    first = await send(client, CSV, key="k 1", model_id="line")
    again = await send(client, CSV, key="k 1", model_id="line")
    other = await send(client, CSV, key="k 2", model_id="line")
    assert [r.status_code for r in (first, again, other)] == [201, 200, 201]
    assert again.json()["id"] == first.json()["id"] != other.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert await count(client) == 2


async def test_the_same_key_for_something_else_is_refused(
    client: httpx.AsyncClient,
) -> None:
    first = await send(client, CSV, key="k", model_id="line")
    for response in (
        await send(client, CSV + b"4,5,6\n", key="k", model_id="line"),
        await send(client, CSV, key="k", model_id="line", include_inputs="none"),
        await send(client, CSV, key="k", model_id="line:1.0.0"),
        await client.post(JOBS, json=PREDICTION, headers={"Idempotency-Key": "k"}),
    ):
        detail = problem_of(response, 422, "invalid_field")
        assert first.json()["id"] in detail
    assert await count(client) == 1


async def test_predictions_have_keys_too(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "p"}
    first = await client.post(JOBS, json=PREDICTION, headers=headers)
    again = await client.post(JOBS, json=PREDICTION, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    changed = {**PREDICTION, "priority": "high"}
    problem_of(
        await client.post(JOBS, json=changed, headers=headers), 422, "invalid_field"
    )


async def test_requests_at_once_under_one_key_are_one_job(
    client: httpx.AsyncClient,
) -> None:
    files = [send(client, CSV, key="f", model_id="line") for _ in range(4)]
    headers = {"Idempotency-Key": "p"}
    predictions = [
        client.post(JOBS, json=PREDICTION, headers=headers) for _ in range(4)
    ]
    for answers in (await asyncio.gather(*files), await asyncio.gather(*predictions)):
        assert {answer.status_code for answer in answers} <= {200, 201}
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert await count(client) == 2


@embedded_only
async def test_a_key_that_can_not_be_is_refused(client: httpx.AsyncClient) -> None:
    for key in ("", "  ", "x" * 256, "sch\u00f6n"):
        headers = {b"Idempotency-Key": key.encode()}
        response = await client.post(JOBS, json=PREDICTION, headers=headers)
        problem_of(response, 422, "invalid_field")
    assert await count(client) == 0
