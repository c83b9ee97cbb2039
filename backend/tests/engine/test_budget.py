"""Sessions stay within the budget of memory, and who is in use stays loaded."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.engine.pool import SessionPool
from app.errors import InvalidModel, ModelLoadFailed
from app.observability.metrics import Metrics
from tests import graphs
from tests.engine.conftest import WriteModel
from tests.processes import wait_until

MIB = 2**20
ONE = {"x": np.ones(1, np.float32)}

OpenDirectory = Callable[[], Awaitable[Path]]


@asynccontextmanager
async def pool_of(
    budget_mib: int, *, room_wait_s: float = 60.0, metrics: Metrics | None = None
) -> AsyncIterator[SessionPool]:
    pool = SessionPool(
        memory_budget_bytes=budget_mib * MIB,
        room_wait_s=room_wait_s,
        watch=metrics,
    )
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture
def opened(write_model: WriteModel) -> OpenDirectory:
    path = write_model(graphs.add_one())

    async def open_it() -> Path:
        return path

    return open_it


async def load(
    pool: SessionPool, opened: OpenDirectory, names: str, *, mib: int = 1
) -> None:
    """Each letter is a model's digest."""
    for digest in names:
        await pool.load(digest, opened, size_bytes=mib * MIB)


def loaded(pool: SessionPool, names: str) -> str:
    return "".join(digest for digest in names if pool.is_loaded(digest))


async def until_freed(pool: SessionPool) -> None:
    await asyncio.to_thread(wait_until, lambda: pool.memory_bytes == 0, "freeing")


async def test_the_one_used_longest_ago_makes_room(opened: OpenDirectory) -> None:
    async with pool_of(3) as pool:
        await load(pool, opened, "abc")
        pool.loaded("a")
        await load(pool, opened, "d")
        assert loaded(pool, "abcd") == "acd"
        assert pool.memory_bytes == 3 * MIB


async def test_asking_whether_one_is_loaded_is_no_use_of_it(
    opened: OpenDirectory,
) -> None:
    async with pool_of(2) as pool:
        await load(pool, opened, "ab")
        assert pool.is_loaded("a")
        await load(pool, opened, "c")
        assert loaded(pool, "abc") == "bc"


async def test_as_many_make_room_as_a_large_one_needs(opened: OpenDirectory) -> None:
    async with pool_of(4) as pool:
        await load(pool, opened, "abcd")
        await load(pool, opened, "e", mib=2)
        assert loaded(pool, "abcde") == "cde"


async def test_one_that_is_leased_is_not_evicted(opened: OpenDirectory) -> None:
    async with pool_of(2) as pool:
        await load(pool, opened, "ab")
        with pool.lease("a"):
            pool.loaded("b")
            await load(pool, opened, "c")
            assert loaded(pool, "abc") == "ac"


async def test_a_load_waits_for_the_last_lease_to_end(opened: OpenDirectory) -> None:
    async with pool_of(1) as pool:
        await load(pool, opened, "a")
        with pool.lease("a"):
            with pool.lease("a"):
                waiting = asyncio.create_task(load(pool, opened, "b"))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert loaded(pool, "ab") == "a"
        await waiting
        assert loaded(pool, "ab") == "b"


async def test_a_pinned_one_is_never_evicted(opened: OpenDirectory) -> None:
    async with pool_of(2) as pool:
        pool.pin(frozenset("a"))
        await load(pool, opened, "abcd")
        assert loaded(pool, "abcd") == "ad"


async def test_unpinning_lets_a_waiting_load_in(opened: OpenDirectory) -> None:
    async with pool_of(1) as pool:
        pool.pin(frozenset("a"))
        await load(pool, opened, "a")
        waiting = asyncio.create_task(load(pool, opened, "b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pool.pin(frozenset())
        await waiting
        assert loaded(pool, "ab") == "b"


async def test_without_room_in_time_it_says_who_has_it_and_what_to_do(
    opened: OpenDirectory,
) -> None:
    async with pool_of(60, room_wait_s=0.01) as pool:
        pool.pin(frozenset("p"))
        await load(pool, opened, "p", mib=20)
        await load(pool, opened, "a", mib=30)
        with pool.lease("a"), pytest.raises(ModelLoadFailed) as refused:
            await load(pool, opened, "b", mib=15)
        assert refused.value.detail == (
            "this model needs about 15 MiB of memory and the budget of 60 MiB has no "
            "room: 20 MiB belong to pinned versions, 30 MiB to models in use or being "
            "loaded; try again in a moment, raise MODEL_MEMORY_BUDGET_MB, or unpin a "
            "version"
        )
        assert refused.value.headers == {"Retry-After": "2"}
        assert pool.memory_bytes == 50 * MIB


async def test_idle_ones_are_not_evicted_where_that_would_not_do(
    opened: OpenDirectory,
) -> None:
    async with pool_of(3, room_wait_s=0.01) as pool:
        await load(pool, opened, "abc")
        with pool.lease("b"), pytest.raises(ModelLoadFailed):
            await load(pool, opened, "d", mib=3)
        assert loaded(pool, "abcd") == "abc"


async def test_one_larger_than_the_budget_is_refused_at_once(
    opened: OpenDirectory,
) -> None:
    async with pool_of(100) as pool:
        await load(pool, opened, "a")
        with pytest.raises(ModelLoadFailed) as refused:
            await load(pool, opened, "b", mib=101)
        assert refused.value.detail == (
            "this model needs about 101 MiB of memory, which is more than the whole "
            "budget of 100 MiB: raise MODEL_MEMORY_BUDGET_MB to 101 or more"
        )
        assert refused.value.headers == {"Retry-After": "60"}
        assert loaded(pool, "ab") == "a"


async def test_a_session_counts_until_the_last_run_lets_go_of_it(
    opened: OpenDirectory,
) -> None:
    async with pool_of(1) as pool:
        session = await pool.load("a", opened, size_bytes=MIB)
        pool.drop("a")
        waiting = asyncio.create_task(load(pool, opened, "b"))
        await asyncio.sleep(0)
        assert pool.memory_bytes == MIB
        assert not waiting.done()
        assert session.run(ONE, None)["y"] == 2
        del session
        await waiting
        assert pool.memory_bytes == MIB


async def test_a_session_is_freed_without_the_collector(opened: OpenDirectory) -> None:
    gc.disable()
    try:
        async with pool_of(1) as pool:
            gone = weakref.ref(await pool.load("a", opened, size_bytes=MIB))
            pool.drop("a")
            await until_freed(pool)
            assert gone() is None
    finally:
        gc.enable()


async def test_a_session_in_a_cycle_is_freed_for_who_needs_its_room(
    opened: OpenDirectory,
) -> None:
    gc.disable()
    try:
        async with pool_of(1) as pool:
            cycle: list[Any] = [await pool.load("a", opened, size_bytes=MIB)]
            cycle.append(cycle)
            del cycle
            await load(pool, opened, "b")
            assert loaded(pool, "ab") == "b"
    finally:
        gc.enable()


async def test_a_failed_load_gives_its_room_back(
    opened: OpenDirectory, write_model: WriteModel
) -> None:
    junk = write_model(b"junk")

    async def open_junk() -> Path:
        return junk

    async with pool_of(1) as pool:
        with pytest.raises(InvalidModel):
            await load(pool, open_junk, "a")
        assert pool.memory_bytes == 0
        await load(pool, opened, "b")


async def test_a_model_dropped_while_it_loads_gives_its_room_back(
    opened: OpenDirectory,
) -> None:
    may_open = asyncio.Event()

    async def open_late() -> Path:
        await may_open.wait()
        return await opened()

    async with pool_of(1) as pool:
        loading = asyncio.create_task(load(pool, open_late, "a"))
        await asyncio.sleep(0)
        pool.drop("a")
        may_open.set()
        await loading
        await until_freed(pool)
        assert not pool.is_loaded("a")


async def test_without_a_budget_nothing_is_evicted(opened: OpenDirectory) -> None:
    pool = SessionPool()
    await load(pool, opened, "abcdef", mib=10**6)
    assert loaded(pool, "abcdef") == "abcdef"
    await pool.close()


async def test_loads_and_evictions_are_counted(opened: OpenDirectory) -> None:
    metrics = Metrics(version="1")

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"mlforge_{name}", labels)

    async with pool_of(2, metrics=metrics) as pool:
        metrics.watch_models(
            loaded=lambda: pool.models_loaded,
            memory_bytes=lambda: pool.memory_bytes,
            budget_bytes=pool.memory_budget_bytes,
        )
        await load(pool, opened, "abc")
        with pytest.raises(ModelLoadFailed):
            await load(pool, opened, "d", mib=3)
        assert value("models_loaded") == 2
        assert value("model_memory_bytes") == 2 * MIB
        assert value("model_memory_budget_bytes") == 2 * MIB
        assert value("model_loads_total", result="ok") == 3
        assert value("model_loads_total", result="no_room") == 1
        assert value("model_evictions_total") == 1
        assert value("model_load_seconds_count") == 4
