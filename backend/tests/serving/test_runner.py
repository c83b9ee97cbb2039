import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from app.artifacts.store import Artifact, ArtifactFile, ArtifactStore
from app.codecs.base import Asked
from app.engine.admission import QueueLimits
from app.engine.batcher import Batcher
from app.engine.dispatch import size_bucket
from app.engine.executor import Executor
from app.engine.pool import SessionPool
from app.errors import ArtifactCorrupt, InferenceTimeout, Overloaded
from app.serving.limits import TimeLimits, Whose
from app.serving.routes import VersionRecord
from app.serving.runner import Runner
from app.serving.settings import ServingSettings
from tests import graphs
from tests.processes import wait_until
from tests.serving.records import record

INPUTS = {"x": np.array(2)}


class OneFolder:
    """The one thing that a runner asks of a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prove(self, _: Artifact) -> None:
        pass

    async def open(self, _artifact: Artifact) -> Path:
        return self._folder


class HeldFolder(OneFolder):
    """Opens when told, so that a load takes as long as a test wants."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may_open = asyncio.Event()

    async def open(self, artifact: Artifact) -> Path:
        await self.may_open.wait()
        return await super().open(artifact)


@pytest.fixture
async def pool() -> AsyncIterator[SessionPool]:
    pool = SessionPool()
    yield pool
    await pool.close()


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor(threads=1, limits=QueueLimits(count=4))
    yield executor
    await executor.close()


@pytest.fixture
def told() -> list[Whose]:
    """Whose limits ended something."""
    return []


@pytest.fixture
def slow(tmp_path: Path) -> HeldFolder:
    """Of a model whose runs never end."""
    (tmp_path / "model.onnx").write_bytes(graphs.slow_loop())
    return HeldFolder(tmp_path)


@pytest.fixture
def runner(
    pool: SessionPool, executor: Executor, slow: HeldFolder, told: list[Whose]
) -> Runner:
    limits = TimeLimits(30.0, told.append)
    batcher = Batcher(executor, max_rows=1)
    return Runner(pool, executor, batcher, cast("ArtifactStore", slow), limits=limits)


@pytest.mark.parametrize("bounded_cost", [True, False])
async def test_only_runs_of_bounded_cost_are_ever_thought_cheap(
    pool: SessionPool, executor: Executor, tmp_path: Path, bounded_cost: bool
) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.expanded())
    store = cast("ArtifactStore", OneFolder(tmp_path))
    runner = Runner(pool, executor, Batcher(executor, max_rows=64), store)
    served = record(bounded_cost=bounded_cost)
    asked: Any = Asked(INPUTS, None)
    was_cheap = False
    for _ in range(50):
        answer = await runner.run(served, asked, time.monotonic() + 60)
        assert answer["y"] == 8
        session = pool.loaded("digest")
        assert session is not None
        was_cheap |= session.costs.is_cheap(size_bucket(INPUTS))
    assert was_cheap is bounded_cost


ENDLESS: Any = Asked({"x": np.ones(1, np.float32)}, None)


async def run(runner: Runner, served: VersionRecord, limit_s: float) -> None:
    await runner.run(served, ENDLESS, time.monotonic() + limit_s)


async def started(
    runner: Runner, served: VersionRecord, count: int
) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(run(runner, served, 60)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_run_past_the_models_limit_names_it(
    runner: Runner, slow: HeldFolder, told: list[Whose]
) -> None:
    slow.may_open.set()
    served = record(settings=ServingSettings(timeout_s=0.05))
    with pytest.raises(InferenceTimeout, match=r"the model's limit of 0\.05 s"):
        await run(runner, served, 60)
    assert told == ["model"]


async def test_a_run_past_the_servers_limit_names_it(
    runner: Runner, slow: HeldFolder, told: list[Whose]
) -> None:
    slow.may_open.set()
    served = record(settings=ServingSettings(timeout_s=3600.0))
    with pytest.raises(InferenceTimeout, match="the server's limit of 30 s"):
        await run(runner, served, 0.05)
    assert told == ["server"]


async def test_a_limit_ends_the_wait_for_a_load_but_not_the_load(
    runner: Runner, slow: HeldFolder, told: list[Whose], pool: SessionPool
) -> None:
    patient = await started(runner, record(), 1)
    served = record(settings=ServingSettings(timeout_s=0.05))
    with pytest.raises(InferenceTimeout, match="still being loaded"):
        await run(runner, served, 60)
    assert told == ["model"]
    slow.may_open.set()
    await runner.load(served)
    assert pool.loaded("digest") is not None
    assert not patient[0].done()
    await cancel(patient)


async def test_those_who_wait_for_a_load_are_bounded(
    runner: Runner, executor: Executor
) -> None:
    # Three in the queue, and the one who would have the thread.
    waiting = await started(runner, record(), 4)
    assert (executor.waiting, executor.waiting_bytes) == (4, 16)
    with pytest.raises(Overloaded, match="4 predictions of this model"):
        await run(runner, record(), 60)
    await cancel(waiting)
    assert (executor.waiting, executor.waiting_bytes) == (0, 0)


async def test_a_model_without_a_queue_can_be_loaded_all_the_same(
    runner: Runner, slow: HeldFolder
) -> None:
    served = record(settings=ServingSettings(queue_limit=0))
    waiting = await started(runner, served, 1)
    with pytest.raises(Overloaded, match="its limit is 0"):
        await run(runner, served, 60)
    slow.may_open.set()
    await runner.load(served)
    assert not waiting[0].done()
    await cancel(waiting)


async def test_whoever_hangs_up_during_a_load_leaves_it_to_the_others(
    runner: Runner, slow: HeldFolder, executor: Executor, pool: SessionPool
) -> None:
    first, second = await started(runner, record(), 2)
    await cancel([first])
    assert executor.waiting == 1
    slow.may_open.set()
    await runner.load(record())
    assert pool.loaded("digest") is not None
    assert not second.done()
    await cancel([second])


async def test_a_version_has_its_own_queue_limit(
    runner: Runner, slow: HeldFolder
) -> None:
    slow.may_open.set()
    await runner.load(record())
    served = record(settings=ServingSettings(queue_limit=1))
    waiting = await started(runner, served, 2)
    with pytest.raises(Overloaded, match="its limit is 1"):
        await run(runner, served, 60)
    await cancel(waiting)


async def test_a_model_that_runs_on_a_thread_is_not_evicted(
    executor: Executor, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.slow_loop())
    pool = SessionPool(memory_budget_bytes=2**20, room_wait_s=60)
    runner = Runner(
        pool,
        executor,
        Batcher(executor, max_rows=1),
        cast("ArtifactStore", OneFolder(tmp_path)),
    )
    slow = replace(record(bounded_cost=False), memory_bytes=2**20)
    asked: Any = Asked({"x": np.ones(1, np.float32)}, None)
    running = asyncio.create_task(runner.run(slow, asked, time.monotonic() + 60))
    await asyncio.to_thread(wait_until, lambda: pool.is_loaded("digest"), "loading")
    artifact = Artifact("other", slow.artifact.files if slow.artifact else ())
    loading = asyncio.create_task(runner.load(replace(slow, artifact=artifact)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert pool.is_loaded("digest")
    running.cancel()
    del running
    await loading
    assert not pool.is_loaded("digest")
    await pool.close()


async def test_a_ready_version_without_a_file_is_corrupt(
    pool: SessionPool, executor: Executor, tmp_path: Path
) -> None:
    runner = Runner(
        pool,
        executor,
        Batcher(executor, max_rows=1),
        cast("ArtifactStore", OneFolder(tmp_path)),
    )
    without = replace(record(bounded_cost=True), artifact=None)
    assert not runner.is_loaded(without)
    with pytest.raises(ArtifactCorrupt):
        await runner.load(without)


@pytest.mark.parametrize(
    ("memory_bytes", "file_bytes", "counted"),
    [
        (5_000_000, 1_000_000, 5_000_000),
        (None, 1_000_000, 2_000_000),
        (130, 130, 128 * 1024),
    ],
    ids=["measured", "guessed", "tiny"],
)
async def test_a_session_counts_with_what_validation_saw_it_take(
    pool: SessionPool,
    executor: Executor,
    tmp_path: Path,
    memory_bytes: int | None,
    file_bytes: int,
    counted: int,
) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.add_one())
    runner = Runner(
        pool,
        executor,
        Batcher(executor, max_rows=1),
        cast("ArtifactStore", OneFolder(tmp_path)),
    )
    file = ArtifactFile("model.onnx", file_bytes, "digest")
    served = replace(
        record(bounded_cost=True),
        memory_bytes=memory_bytes,
        artifact=Artifact("digest", (file,)),
    )
    await runner.load(served)
    assert pool.memory_bytes == counted
