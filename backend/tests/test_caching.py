"""What caching promises, in isolation: a model that counts, and a Redis that is not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import pytest
from fakeredis import FakeAsyncRedis

from app.cache.base import CacheStatus, NoLocalTier, Outputs
from app.cache.key import cache_key
from app.cache.redis import RedisTier
from app.cache.tiered import PredictionCache
from app.observability.metrics import Metrics

TTL_S = 60.0


@dataclass(slots=True)
class Doubler:
    """A model that counts how often it runs."""

    calls: int = 0

    def bind(self, value: float) -> "Call":
        return Call(self, np.array([[value]], np.float32))


@dataclass(slots=True)
class Call:
    model: Doubler
    x: np.ndarray[tuple[int, ...], np.dtype[np.float32]]

    def now(self) -> Outputs | None:
        """Never: Redis is asked first."""

    async def __call__(self) -> Outputs:
        self.model.calls += 1
        return {"y": self.x * 2}


@dataclass(slots=True)
class Bench:
    """A cache over fake Redis, used by one model under any version's name."""

    redis: FakeAsyncRedis
    tier: RedisTier
    cache: PredictionCache
    model: Doubler

    async def predict(
        self, value: float, *, version_id: str = "v1"
    ) -> tuple[Outputs, CacheStatus]:
        call = self.model.bind(value)
        key = cache_key(version_id, 0, {"x": call.x}, None)
        answer = await self.cache.get_or_run(key, call)
        await self.tier.flush()
        return answer


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    redis = FakeAsyncRedis()
    tier = RedisTier(
        redis, ttl_s=TTL_S, timeout_ms=5000, metrics=Metrics(version="test")
    )
    cache = PredictionCache(NoLocalTier(), tier, entry_max_bytes=2**20)
    yield Bench(redis, tier, cache, Doubler())
    await cache.close()


async def test_prediction_cached_after_first_call(bench: Bench) -> None:
    first, before = await bench.predict(3.0)
    second, after = await bench.predict(3.0)
    assert (before, after) == (CacheStatus.MISS, CacheStatus.HIT)
    np.testing.assert_array_equal(np.asarray(first["y"]), [[6.0]])
    np.testing.assert_array_equal(np.asarray(second["y"]), [[6.0]])
    assert await bench.redis.dbsize() == 1


async def test_cache_key_includes_model_and_input(bench: Bench) -> None:
    statuses = [
        (await bench.predict(value, version_id=version))[1]
        for value in (1.0, 2.0)
        for version in ("v1", "v2")
    ]
    assert statuses == [CacheStatus.MISS] * 4
    assert await bench.redis.dbsize() == 4
    again, status = await bench.predict(2.0, version_id="v1")
    assert status is CacheStatus.HIT
    np.testing.assert_array_equal(np.asarray(again["y"]), [[4.0]])


async def test_cache_expires_after_ttl(bench: Bench) -> None:
    await bench.predict(3.0)
    [name] = await bench.redis.keys()
    assert 0 < await bench.redis.pttl(name) <= TTL_S * 1000
    await bench.redis.pexpire(name, -1)
    _, status = await bench.predict(3.0)
    assert status is CacheStatus.MISS
    assert bench.model.calls == 2


async def test_cache_miss_calls_model(bench: Bench) -> None:
    _, status = await bench.predict(3.0)
    assert status is CacheStatus.MISS
    assert bench.model.calls == 1


async def test_cache_hit_skips_model(bench: Bench) -> None:
    await bench.predict(3.0)
    for _ in range(5):
        _, status = await bench.predict(3.0)
        assert status is CacheStatus.HIT
    assert bench.model.calls == 1
    assert bench.cache.stats().hits == 5
