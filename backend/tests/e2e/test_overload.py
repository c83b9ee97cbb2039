"""More calls than a server can take, and what becomes of everybody."""

import asyncio
from itertools import islice
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests import graphs
from tests.calls import API, predict, predicted, problem_of, upload
from tests.conftest import StartServer
from tests.live import LiveServer
from tests.processes import wait_until

CALLS, QUEUE = 200, 16
# One runs, and three quarters of the places may be one model's.
KEPT = 1 + QUEUE * 3 // 4


def endless(number: int) -> dict[str, Any]:
    return {"input_data": {"x": [float(number)], "n": 10**15}}


def metric(server: LiveServer, name: str, **labels: str) -> float:
    page = httpx.get(f"{server.url}/metrics").text
    samples = [s for f in text_string_to_metric_families(page) for s in f.samples]
    return sum(s.value for s in samples if s.name == name and s.labels == labels)


async def refused(client: httpx.AsyncClient, calls: list[asyncio.Task[Any]]) -> None:
    """All but those there is room for are refused while those are still there."""
    async with asyncio.timeout(60):
        for count, call in enumerate(islice(asyncio.as_completed(calls), CALLS - KEPT)):
            answer = await call
            detail = problem_of(answer, 503, "overloaded")
            assert f"{KEPT - 1} predictions of this model are waiting" in detail
            assert 1 <= int(answer.headers["retry-after"]) <= 30
            # The others go on being served meanwhile.
            if count % 20 == 0:
                await predicted(client, "cheap", {"input_data": {"x": [float(count)]}})
    assert sum(not call.done() for call in calls) == KEPT


async def test_a_flood_is_refused_at_once_and_leaves_nothing_behind(
    start_server: StartServer,
) -> None:
    server = start_server(inference_threads=1, inference_queue_limit=QUEUE)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=server.url, timeout=60, limits=limits
    ) as client:
        await upload(client, graphs.counted_loop(), name="slow")
        await upload(client, graphs.add_one(), name="cheap")
        short = {"input_data": {"x": [0.0], "n": 3}}
        await predicted(client, "slow", short)
        calls = [
            asyncio.create_task(predict(client, "slow", endless(number)))
            for number in range(CALLS)
        ]
        await refused(client, calls)
        assert metric(server, "mlforge_queue_depth") == KEPT - 1
        # A float32 and an int64 each.
        assert metric(server, "mlforge_queue_bytes") == 12 * (KEPT - 1)
        count = metric(server, "mlforge_overloaded_total", reason="model_queue")
        assert count == CALLS - KEPT
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        wait_until(lambda: not metric(server, "mlforge_queue_depth"), "an empty queue")
        assert metric(server, "mlforge_queue_bytes") == 0
        again = short | {"skip_cache": True}
        answer = await predicted(client, "slow", again)
        assert answer["output_data"] == {"y": [3.0]}
        assert (await client.get(f"{API}/ready")).status_code == 200
