"""The bell through Redis: heard, harmless, and never in the way."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from app.jobs.arq_connection import connect
from app.jobs.arq_doorbell import ArqDoorbell
from app.jobs.arq_listener import ArqListener
from tests.jobs.work import SOON_S, absent_id, until
from tests.redis_server import OwnRedis


class Sleeper:
    """What a ring wakes."""

    def __init__(self, *, full: int = 0) -> None:
        self._full = full
        self.woken = asyncio.Event()
        self.asked = 0

    def wake(self) -> None:
        self.woken.set()

    def is_full(self) -> bool:
        self.asked += 1
        return self.asked <= self._full

    async def is_woken(self) -> None:
        async with asyncio.timeout(SOON_S):
            await self.woken.wait()
        self.woken.clear()


@asynccontextmanager
async def listening(url: str, sleeper: Sleeper) -> AsyncIterator[ArqListener]:
    listener = ArqListener(
        url, sleeper.wake, sleeper.is_full, first_pause_s=0.05, longest_pause_s=0.1
    )
    task = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=SOON_S)
        assert task.cancelled()


async def test_a_ring_is_heard(redis_url: str) -> None:
    sleeper, bell = Sleeper(), ArqDoorbell(redis_url, timeout_s=SOON_S)
    async with listening(redis_url, sleeper):
        for _ in range(3):
            await bell.ring(absent_id())
            await sleeper.is_woken()
    await bell.close()
    assert bell.failures == 0


async def test_the_same_job_may_ring_again(redis_url: str) -> None:
    sleeper, bell, job_id = (
        Sleeper(),
        ArqDoorbell(redis_url, timeout_s=SOON_S),
        absent_id(),
    )
    async with listening(redis_url, sleeper):
        for _ in range(2):
            await bell.ring(job_id)
            await sleeper.is_woken()
    await bell.close()


async def test_a_ring_before_the_listener_came_is_heard(redis_url: str) -> None:
    sleeper, bell = Sleeper(), ArqDoorbell(redis_url, timeout_s=SOON_S)
    await bell.ring(absent_id())
    async with listening(redis_url, sleeper):
        await sleeper.is_woken()
    await bell.close()


async def test_what_goes_through_redis_is_json_with_an_id(redis_url: str) -> None:
    bell, job_id = ArqDoorbell(redis_url, timeout_s=SOON_S), absent_id()
    await bell.ring(job_id)
    await bell.close()
    redis = connect(redis_url, timeout_s=SOON_S)
    (key,) = await redis.keys("arq:job:*")
    message = json.loads(await redis.get(key))
    await redis.aclose(close_connection_pool=True)
    assert (message["f"], message["a"], message["k"]) == ("ring", [job_id], {})


async def test_a_worker_with_its_hands_full_passes_the_ring_on(redis_url: str) -> None:
    sleeper, bell = Sleeper(full=1), ArqDoorbell(redis_url, timeout_s=SOON_S)
    async with listening(redis_url, sleeper):
        await bell.ring(absent_id())
        await sleeper.is_woken()
    await bell.close()
    assert sleeper.asked == 2


@pytest.mark.parametrize("break_redis", [OwnRedis.kill, OwnRedis.freeze])
async def test_a_ring_without_redis_is_no_error_and_is_counted(
    private_redis: OwnRedis, break_redis: Callable[[OwnRedis], None]
) -> None:
    bell = ArqDoorbell(private_redis.url)
    await bell.ring(absent_id())
    break_redis(private_redis)
    async with asyncio.timeout(SOON_S):
        for _ in range(100):
            await bell.ring(absent_id())
    assert bell.failures == 100
    await bell.close()
    private_redis.thaw()


async def test_the_bell_is_heard_again_when_redis_is_back(
    private_redis: OwnRedis,
) -> None:
    sleeper = Sleeper()
    bell = ArqDoorbell(private_redis.url, timeout_s=SOON_S, quiet_s=0.0)
    async with listening(private_redis.url, sleeper) as listener:
        await bell.ring(absent_id())
        await sleeper.is_woken()
        private_redis.kill()

        async def noticed() -> bool:
            return listener.restarts > 0

        await until(noticed)
        private_redis.restart()
        await bell.ring(absent_id())
        await sleeper.is_woken()
    await bell.close()
