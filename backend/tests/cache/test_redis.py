"""The Redis tier against a real Redis: present, broken, frozen, killed, back again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.cache import redis as redis_module
from app.cache.base import Outputs
from app.cache.breaker import CircuitBreaker
from app.cache.key import CacheKey
from app.cache.redis import PENDING_MAX, RedisTier
from app.cache.wire import encode
from app.observability.metrics import Metrics
from tests.servers import OwnRedis

KEY = CacheKey("v1", 3, bytes(range(16)))
NAME = "mlforge:predictions:v1:3:000102030405060708090a0b0c0d0e0f"
OUTPUTS: Outputs = {"y": np.array([[1.5, 2.5]], np.float32)}


@dataclass(slots=True)
class Clock:
    now: float = 50.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Tier:
    """A tier with the parts a test looks at."""

    metrics: Metrics = field(default_factory=lambda: Metrics(version="test"))
    clock: Clock = field(default_factory=Clock)

    @asynccontextmanager
    async def at(
        self, url: str, *, timeout_ms: int = 5000, ttl_s: float = 60
    ) -> AsyncIterator[RedisTier]:
        tier = RedisTier.connect(
            url,
            ttl_s=ttl_s,
            timeout_ms=timeout_ms,
            metrics=self.metrics,
            breaker=CircuitBreaker(clock=self.clock),
        )
        try:
            yield tier
        finally:
            await tier.close()

    def errors(self, kind: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "mlforge_cache_errors_total", {"type": kind}
        )

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"mlforge_{name}")


@pytest.fixture
def tier() -> Tier:
    return Tier()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def put(tier: RedisTier, cache_key: CacheKey = KEY) -> None:
    tier.put(cache_key, OUTPUTS, size_bytes=100)
    async with asyncio.timeout(30):
        await tier.flush()


async def test_finds_in_another_process_what_one_has_put(
    tier: Tier, redis_url: str
) -> None:
    async with tier.at(redis_url) as one, tier.at(redis_url) as other:
        await put(one)
        found: Any = await other.find(KEY)
        assert found.outputs["y"].tolist() == [[1.5, 2.5]]
        assert 0 < found.ttl_s <= 60
        assert await other.find(KEY._replace(epoch=4)) is None
        assert other.errors == 0


async def test_an_entry_has_a_plain_name_and_a_time_to_live(
    tier: Tier, redis_url: str, client: Redis
) -> None:
    async with tier.at(redis_url, ttl_s=60) as opened:
        await put(opened)
    assert await client.keys("*") == [NAME.encode()]
    assert 0 < await client.pttl(NAME) <= 60_000


async def test_an_entry_that_would_live_for_ever_is_not_used(
    tier: Tier, redis_url: str, client: Redis
) -> None:
    await client.set(NAME, encode(OUTPUTS))
    async with tier.at(redis_url) as opened:
        assert await opened.find(KEY) is None


async def test_a_burst_of_writes_arrives_whole(
    tier: Tier, redis_url: str, client: Redis
) -> None:
    async with tier.at(redis_url) as opened:
        for number in range(200):
            opened.put(KEY._replace(epoch=number), OUTPUTS, size_bytes=100)
        await opened.flush()
    assert await client.dbsize() == 200


async def test_writes_that_find_the_queue_full_are_dropped_and_counted(
    tier: Tier, redis_url: str
) -> None:
    async with tier.at(redis_url) as opened:
        for number in range(PENDING_MAX + 7):
            opened.put(KEY._replace(epoch=number), OUTPUTS, size_bytes=1)
        assert tier.value("cache_writes_dropped_total") == 7


async def test_writes_beyond_the_bytes_that_may_wait_are_dropped_and_counted(
    tier: Tier, redis_url: str
) -> None:
    async with tier.at(redis_url) as opened:
        for number in range(17):
            opened.put(KEY._replace(epoch=number), OUTPUTS, size_bytes=2**20)
        assert tier.value("cache_writes_dropped_total") == 1
        await opened.flush()
        opened.put(KEY, OUTPUTS, size_bytes=2**20)
        assert tier.value("cache_writes_dropped_total") == 1


async def test_outputs_that_cannot_be_written_harm_nothing_else(
    tier: Tier, redis_url: str
) -> None:
    odd: Any = {"y": object()}
    async with tier.at(redis_url) as opened:
        opened.put(KEY._replace(epoch=1), odd, size_bytes=1)
        await put(opened)
        assert await opened.find(KEY) is not None
    assert tier.errors("WireError") == 1


@pytest.mark.parametrize("entry", [b"", b"\x80\x04N.", encode(OUTPUTS)[:-1]])
async def test_a_corrupt_entry_is_a_miss_and_the_next_write_heals_it(
    tier: Tier, redis_url: str, client: Redis, entry: bytes
) -> None:
    await client.set(NAME, entry, ex=60)
    async with tier.at(redis_url) as opened:
        assert await opened.find(KEY) is None
        assert tier.errors("CorruptEntry") == 1
        await put(opened)
        assert await opened.find(KEY) is not None


async def test_answers_that_are_errors_are_misses_and_leave_the_breaker_closed(
    tier: Tier, redis_url: str, client: Redis
) -> None:
    await client.zadd(NAME, {"a": 1})
    async with tier.at(redis_url) as opened:
        for _ in range(20):
            assert await opened.find(KEY) is None
        assert opened.available
    assert tier.errors("ResponseError") == 20


async def test_a_full_redis_loses_writes_and_still_answers(
    tier: Tier, private_redis: OwnRedis
) -> None:
    async with tier.at(private_redis.url) as opened:
        await put(opened)
        async with Redis.from_url(private_redis.url) as client:
            await client.config_set("maxmemory", 1)
        await put(opened, KEY._replace(epoch=9))
        assert await opened.find(KEY) is not None
        assert opened.available
    assert tier.errors("OutOfMemoryError") == 1


async def test_a_read_only_replica_is_left_for_a_new_connection(
    tier: Tier, private_redis: OwnRedis
) -> None:
    async with (
        tier.at(private_redis.url) as opened,
        Redis.from_url(private_redis.url) as client,
    ):
        await put(opened)
        met = int((await client.info("stats"))["total_connections_received"])
        await client.replicaof("127.0.0.1", "1")
        await put(opened)
        assert tier.errors("ReadOnlyError") == 1
        await client.replicaof("NO", "ONE")
        await put(opened)
        assert int((await client.info("stats"))["total_connections_received"]) > met
        assert tier.errors("ReadOnlyError") == 1


async def test_nobody_listening_is_a_miss_and_opens_the_breaker(tier: Tier) -> None:
    async with tier.at("redis://127.0.0.1:1/0") as opened:
        for _ in range(30):
            assert await opened.find(KEY) is None
        assert not opened.available
        assert opened.errors == 5
        opened.put(KEY, OUTPUTS, size_bytes=1)
    assert tier.errors("ConnectionError") == 5
    assert tier.value("cache_breaker_state") == 1
    assert tier.value("cache_writes_dropped_total") == 1


async def test_a_frozen_redis_is_a_miss_until_it_thaws(
    tier: Tier, private_redis: OwnRedis
) -> None:
    async with tier.at(private_redis.url, timeout_ms=50) as opened:
        await until(lambda: put_and_found(opened, tier.clock))
        private_redis.freeze()
        async with asyncio.timeout(10):
            while tier.value("cache_breaker_state") == 0:
                assert await opened.find(KEY) is None
        calls = opened.errors
        assert await opened.find(KEY) is None
        assert opened.errors == calls

        private_redis.thaw()
        assert await opened.find(KEY) is None
        await until(lambda: trial_found(opened, tier.clock))
        assert opened.available
        assert tier.value("cache_breaker_state") == 0


async def test_a_killed_redis_is_a_miss_until_it_is_back(
    tier: Tier, private_redis: OwnRedis
) -> None:
    async with tier.at(private_redis.url) as opened:
        await put(opened)
        private_redis.kill()
        for _ in range(10):
            assert await opened.find(KEY) is None
        assert tier.value("cache_breaker_state") == 1

        private_redis.restart()
        tier.clock.now += 5
        assert await opened.find(KEY) is None
        assert opened.available
        await put(opened)
        assert await opened.find(KEY) is not None


async def test_a_crowd_of_lookups_in_a_frozen_redis_all_come_back(
    tier: Tier, private_redis: OwnRedis
) -> None:
    async with tier.at(private_redis.url, timeout_ms=50) as opened:
        private_redis.freeze()
        async with asyncio.timeout(20):
            found = await asyncio.gather(*(opened.find(KEY) for _ in range(200)))
        assert found == [None] * 200
        private_redis.thaw()
        await until(lambda: put_and_found(opened, tier.clock))


async def test_cancelled_lookups_leave_no_connection_or_slot_behind(
    tier: Tier, redis_url: str
) -> None:
    async with tier.at(redis_url) as opened:
        for _ in range(20):
            tasks = [asyncio.create_task(opened.find(KEY)) for _ in range(20)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await put(opened)
        async with asyncio.timeout(30):
            found = await asyncio.gather(*(opened.find(KEY) for _ in range(100)))
        assert all(found)


async def test_trouble_is_logged_once_in_a_while(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(redis_module, "monotonic", clock)
    with capture_logs() as lines:
        async with tier.at("redis://127.0.0.1:1/0") as opened:
            for _ in range(20):
                await opened.find(KEY)
            assert len(lines) == 1
            clock.now += 10
            tier.clock.now += 5
            await opened.find(KEY)
    assert len(lines) == 2
    assert "ConnectionError" in lines[0]["error"]


async def test_closing_with_writes_waiting_ends_at_once(
    tier: Tier, private_redis: OwnRedis
) -> None:
    async with tier.at(private_redis.url) as opened:
        private_redis.freeze()
        for number in range(100):
            opened.put(KEY._replace(epoch=number), OUTPUTS, size_bytes=1)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await opened.close()
    private_redis.thaw()


@pytest.mark.parametrize("turns", range(12))
async def test_closing_ends_wherever_a_write_is_on_its_way(
    tier: Tier, redis_url: str, turns: int
) -> None:
    async with tier.at(redis_url) as opened:
        await opened.find(KEY)
        opened.put(KEY, OUTPUTS, size_bytes=1)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await opened.close()


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    """Tries again where a busy machine makes a true answer come too late."""
    async with asyncio.timeout(20):
        while not await ready():
            pass


async def put_and_found(tier: RedisTier, clock: Clock) -> bool:
    clock.now += 5
    await put(tier)
    return await tier.find(KEY) is not None


async def trial_found(tier: RedisTier, clock: Clock) -> bool:
    clock.now += 5
    return await tier.find(KEY) is not None
