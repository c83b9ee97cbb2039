"""One prediction through all tiers: found, shared or made, and counted as such."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from app.cache.base import (
    CacheStatus,
    LocalTier,
    NoLocalTier,
    NoSharedTier,
    Outputs,
    SharedTier,
)
from app.cache.key import CacheKey, cache_key
from app.cache.memory import MemoryTier
from app.cache.redis import RedisTier
from app.cache.tiered import PredictionCache
from app.errors import InferenceFailed, ShuttingDown
from app.observability.metrics import Metrics
from tests.servers import OwnRedis

HIT, MISS, BYPASS = CacheStatus.HIT, CacheStatus.MISS, CacheStatus.BYPASS
KEY = cache_key("v1", 0, {"x": np.zeros((1, 2), np.float32)}, None)
ENTRY_MAX = 100_000


@dataclass(slots=True)
class Model:
    """Answers with a number, as often as asked, once it may."""

    answer: float = 1.0
    size: int = 1
    error: Exception | None = None
    runs: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_end.set()

    def now(self) -> Outputs | None:
        """Never: each run may have to wait."""

    async def __call__(self) -> Outputs:
        self.runs += 1
        async with asyncio.timeout(20):
            await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return {"y": np.full(self.size, self.answer, np.float32)}


@dataclass
class AtOnce:
    """Answers without waiting."""

    outputs: Outputs
    runs: int = 0

    def now(self) -> Outputs | None:
        self.runs += 1
        return self.outputs

    async def __call__(self) -> Outputs:
        raise AssertionError("it was asked to wait")


@pytest.fixture
def model() -> Model:
    return Model()


def memory() -> MemoryTier:
    return MemoryTier(max_bytes=2**20, ttl_s=60)


MakeCache = Callable[[LocalTier, SharedTier], PredictionCache]


@pytest.fixture
async def make_cache() -> AsyncIterator[MakeCache]:
    async with AsyncExitStack() as stack:

        def make(local: LocalTier, shared: SharedTier) -> PredictionCache:
            cache = PredictionCache(local, shared, entry_max_bytes=ENTRY_MAX)
            stack.push_async_callback(cache.close)
            return cache

        yield make


def redis_tier(url: str, metrics: Metrics) -> RedisTier:
    return RedisTier.connect(url, ttl_s=60, timeout_ms=5000, metrics=metrics)


@pytest.fixture(params=["memory", "redis", "memory and redis"])
async def cache(
    request: pytest.FixtureRequest,
    make_cache: MakeCache,
    redis_url: str,
    metrics: Metrics,
) -> PredictionCache:
    """A cache of each composition."""
    shared = redis_tier(redis_url, metrics) if "redis" in request.param else None
    local = memory() if "memory" in request.param else None
    return make_cache(local or NoLocalTier(), shared or NoSharedTier())


@pytest.fixture
def memory_cache(make_cache: MakeCache) -> PredictionCache:
    return make_cache(memory(), NoSharedTier())


async def written(cache: PredictionCache) -> None:
    shared = cache._shared
    if isinstance(shared, RedisTier):
        async with asyncio.timeout(30):
            await shared.flush()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def number(outputs: Outputs) -> float:
    value: Any = outputs["y"]
    return float(value[0])


async def test_first_call_runs_and_later_ones_find_it(
    cache: PredictionCache, model: Model
) -> None:
    first, status = await cache.get_or_run(KEY, model)
    assert (number(first), status) == (1.0, MISS)
    await written(cache)
    model.answer = 2.0
    second, status = await cache.get_or_run(KEY, model)
    assert (number(second), status) == (1.0, HIT)
    assert model.runs == 1
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.errors) == (1, 1, 0)


async def test_other_versions_and_epochs_run_for_themselves(
    cache: PredictionCache, model: Model
) -> None:
    for other in (KEY, KEY._replace(version_id="v2"), KEY._replace(epoch=1)):
        _, status = await cache.get_or_run(other, model)
        await written(cache)
        assert status is MISS
    assert model.runs == 3


async def test_without_a_key_nothing_is_found_or_kept(
    cache: PredictionCache, model: Model
) -> None:
    for _ in range(2):
        _, status = await cache.get_or_run(None, model)
        assert status is BYPASS
    assert model.runs == 2
    assert cache.stats().bypasses == 2
    assert cache.stats().entries == 0


async def test_a_call_that_skips_the_look_up_runs_and_renews_the_entry(
    cache: PredictionCache, model: Model
) -> None:
    await cache.get_or_run(KEY, model)
    await written(cache)
    model.answer = 2.0
    outputs, status = await cache.get_or_run(KEY, model, look_up=False)
    assert (number(outputs), status) == (2.0, BYPASS)
    await written(cache)
    outputs, status = await cache.get_or_run(KEY, model)
    assert (number(outputs), status) == (2.0, HIT)
    assert model.runs == 2


async def test_a_call_that_skips_the_look_up_does_not_join_one_under_way(
    cache: PredictionCache, model: Model
) -> None:
    model.may_end.clear()
    waiting = asyncio.create_task(cache.get_or_run(KEY, model))
    await settled()
    fresh = Model(answer=5.0)
    outputs, status = await cache.get_or_run(KEY, fresh, look_up=False)
    assert (number(outputs), status) == (5.0, BYPASS)
    model.may_end.set()
    outputs, _ = await waiting
    assert number(outputs) == 1.0


async def test_equal_calls_under_way_run_once(
    cache: PredictionCache, model: Model
) -> None:
    model.may_end.clear()
    calls = [asyncio.create_task(cache.get_or_run(KEY, model)) for _ in range(8)]
    await settled()
    model.may_end.set()
    results = await asyncio.gather(*calls)
    assert model.runs == 1
    assert {status for _, status in results} == {MISS}
    assert {number(outputs) for outputs, _ in results} == {1.0}
    stats = cache.stats()
    assert (stats.misses, stats.coalesced, stats.hits) == (1, 7, 0)


async def test_a_failing_run_fails_every_waiter_and_leaves_nothing(
    cache: PredictionCache, model: Model
) -> None:
    model.may_end.clear()
    model.error = InferenceFailed("the model cannot divide by zero")
    calls = [asyncio.create_task(cache.get_or_run(KEY, model)) for _ in range(3)]
    await settled()
    model.may_end.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results == [model.error] * 3
    model.error = None
    await written(cache)
    _, status = await cache.get_or_run(KEY, model)
    assert status is MISS


async def test_a_cancelled_leader_does_not_stop_the_run_for_the_others(
    cache: PredictionCache, model: Model
) -> None:
    model.may_end.clear()
    calls = [asyncio.create_task(cache.get_or_run(KEY, model)) for _ in range(3)]
    await settled()
    calls[0].cancel()
    await settled()
    model.may_end.set()
    results = await asyncio.gather(*calls[1:])
    assert {number(outputs) for outputs, _ in results} == {1.0}
    assert calls[0].cancelled()
    assert model.runs == 1


async def test_a_waiter_cut_by_its_deadline_leaves_the_entry_to_the_others(
    memory_cache: PredictionCache, model: Model
) -> None:
    model.may_end.clear()
    patient = asyncio.create_task(memory_cache.get_or_run(KEY, model))
    await settled()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await memory_cache.get_or_run(KEY, model)
    model.may_end.set()
    await patient
    assert (await memory_cache.get_or_run(KEY, model))[1] is HIT


async def test_closing_tells_those_who_wait(
    memory_cache: PredictionCache, model: Model
) -> None:
    model.may_end.clear()
    waiting = asyncio.create_task(memory_cache.get_or_run(KEY, model))
    await settled()
    await memory_cache.close()
    with pytest.raises(ShuttingDown, match="send it again"):
        await waiting


async def test_a_find_in_redis_is_kept_in_memory(
    make_cache: MakeCache, redis_url: str, metrics: Metrics, model: Model
) -> None:
    one = make_cache(memory(), redis_tier(redis_url, metrics))
    other = make_cache(memory(), redis_tier(redis_url, metrics))
    await one.get_or_run(KEY, model)
    await written(one)
    for _ in range(3):
        outputs, status = await other.get_or_run(KEY, model)
        assert (number(outputs), status) == (1.0, HIT)
    assert model.runs == 1
    assert (other.stats().redis_hits, other.stats().memory_hits) == (1, 2)
    assert other.stats().redis_available is True


async def test_an_entry_lives_no_longer_for_having_moved_to_memory(
    make_cache: MakeCache, redis_url: str, metrics: Metrics, model: Model
) -> None:
    now = 0.0
    near_end = RedisTier.connect(redis_url, ttl_s=30, timeout_ms=5000, metrics=metrics)
    one = make_cache(NoLocalTier(), near_end)
    await one.get_or_run(KEY, model)
    await written(one)
    local = MemoryTier(max_bytes=2**20, ttl_s=60, clock=lambda: now)
    other = make_cache(local, redis_tier(redis_url, metrics))
    await other.get_or_run(KEY, model)
    assert local.find(KEY) is not None
    now = 30.0
    assert local.find(KEY) is None


async def test_predictions_go_on_when_redis_dies(
    make_cache: MakeCache, private_redis: OwnRedis, metrics: Metrics, model: Model
) -> None:
    cache = make_cache(NoLocalTier(), redis_tier(private_redis.url, metrics))
    await cache.get_or_run(KEY, model)
    private_redis.kill()
    for count in range(2, 20):
        outputs, status = await cache.get_or_run(KEY, model)
        assert (number(outputs), status, model.runs) == (1.0, MISS, count)
    assert cache.stats().errors > 0
    assert cache.stats().redis_available is False


async def test_a_prediction_over_the_limit_is_answered_but_not_kept(
    cache: PredictionCache, model: Model
) -> None:
    model.size = ENTRY_MAX
    for _ in range(2):
        outputs, status = await cache.get_or_run(KEY, model)
        value: Any = outputs["y"]
        assert status is MISS
        assert not value.flags.writeable
        await written(cache)
    assert model.runs == 2


async def test_what_callers_share_is_read_only_from_the_first_on(
    cache: PredictionCache, model: Model
) -> None:
    for _ in range(3):
        outputs, _ = await cache.get_or_run(KEY, model)
        await written(cache)
        value: Any = outputs["y"]
        with pytest.raises(ValueError, match="read-only"):
            value[0] = 9


async def test_a_result_that_views_the_request_does_not_follow_it(
    memory_cache: PredictionCache,
) -> None:
    body = np.ones((2, 3), np.float32)

    identity = AtOnce({"y": body[0]})
    await memory_cache.get_or_run(KEY, identity)
    body[:] = 9
    outputs, status = await memory_cache.get_or_run(KEY, identity)
    assert (number(outputs), status) == (1.0, HIT)


async def test_a_cache_that_is_off_only_runs(
    make_cache: MakeCache, model: Model
) -> None:
    cache = make_cache(NoLocalTier(), NoSharedTier())
    assert not cache.enabled
    for _ in range(2):
        _, status = await cache.get_or_run(KEY, model)
        assert status is BYPASS
    cache.drop_version("v1")
    assert model.runs == 2
    assert cache.stats().redis_available is None


async def test_dropping_a_version_frees_its_entries_alone(
    memory_cache: PredictionCache, model: Model
) -> None:
    other = KEY._replace(version_id="v2")
    await memory_cache.get_or_run(KEY, model)
    await memory_cache.get_or_run(other, model)
    memory_cache.drop_version("v1")
    assert (await memory_cache.get_or_run(KEY, model))[1] is MISS
    assert (await memory_cache.get_or_run(other, model))[1] is HIT


async def test_reset_starts_the_counts_again_and_keeps_the_entries(
    make_cache: MakeCache, metrics: Metrics, model: Model
) -> None:
    cache = make_cache(memory(), redis_tier("redis://127.0.0.1:1/0", metrics))
    await cache.get_or_run(KEY, model)
    await cache.get_or_run(KEY, model)
    await cache.get_or_run(None, model)
    assert cache.stats().errors == 1
    cache.reset()
    stats = cache.stats()
    assert stats.entries == 1
    assert stats.bytes > 0
    assert {
        *(stats.hits, stats.misses, stats.bypasses, stats.coalesced),
        *(stats.memory_hits, stats.redis_hits, stats.errors, stats.evictions),
    } == {0}


async def test_a_hit_in_memory_takes_no_task_and_never_suspends(
    memory_cache: PredictionCache, model: Model
) -> None:
    await memory_cache.get_or_run(KEY, model)
    call = memory_cache.get_or_run(KEY, model)
    with pytest.raises(StopIteration) as ended:
        call.send(None)
    assert ended.value.value[1] is HIT


def test_a_key_is_a_value() -> None:
    assert CacheKey("v", 1, b"d") == CacheKey("v", 1, b"d")


async def test_a_run_that_needs_no_waiting_is_kept_like_any_other(
    memory_cache: PredictionCache, model: Model
) -> None:
    cheap = AtOnce(await model())
    first = memory_cache.get_or_run_now(KEY, cheap)
    second = memory_cache.get_or_run_now(KEY, cheap)
    assert first is not None
    assert second is not None
    assert (number(first[0]), first[1]) == (1.0, MISS)
    assert (number(second[0]), second[1]) == (1.0, HIT)
    stats = memory_cache.stats()
    assert (cheap.runs, stats.hits, stats.misses) == (1, 1, 1)


async def test_what_must_wait_is_neither_run_nor_counted(
    memory_cache: PredictionCache, model: Model
) -> None:
    for look_up in (True, False):
        found = memory_cache.get_or_run_now(KEY, model, look_up=look_up)
        assert found is None
    assert model.runs == 0
    stats = memory_cache.stats()
    assert (stats.hits, stats.misses, stats.bypasses) == (0, 0, 0)


async def test_nobody_runs_at_once_what_is_being_run(
    memory_cache: PredictionCache, model: Model
) -> None:
    model.may_end.clear()
    waiting = asyncio.create_task(memory_cache.get_or_run(KEY, model))
    await asyncio.sleep(0)
    cheap = AtOnce({})
    assert memory_cache.get_or_run_now(KEY, cheap) is None
    assert cheap.runs == 0
    model.may_end.set()
    await waiting


async def test_redis_is_asked_before_anything_is_run(
    make_cache: MakeCache, redis_url: str, metrics: Metrics
) -> None:
    cache = make_cache(memory(), redis_tier(redis_url, metrics))
    cheap = AtOnce({})
    assert cache.get_or_run_now(KEY, cheap) is None
    assert cheap.runs == 0


async def test_running_anew_needs_no_waiting_either(
    memory_cache: PredictionCache, model: Model
) -> None:
    cheap = AtOnce(await model())
    for _ in range(2):
        found = memory_cache.get_or_run_now(KEY, cheap, look_up=False)
        assert found is not None
        assert found[1] is BYPASS
    assert cheap.runs == 2
    assert memory_cache.stats().bypasses == 2
