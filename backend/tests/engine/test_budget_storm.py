"""Whatever is asked for, in whatever order, the pool keeps its promises."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.admission import QueueLimits
from app.engine.executor import Executor
from app.engine.pool import SessionPool
from app.engine.residents import Residents
from app.engine.session import Session
from app.errors import ModelLoadFailed, Overloaded
from tests import graphs
from tests.engine.conftest import WriteModel

MIB = 2**20
BUDGET = 5 * MIB
MODELS = 8
PINNED = "model0"


class Storm:
    """Askers of models whose sizes and answers are known."""

    def __init__(
        self, pool: SessionPool, executor: Executor, folders: Mapping[str, Path]
    ) -> None:
        self.pool = pool
        self.executor = executor
        self.folders = folders
        self.outcomes: Counter[str] = Counter()
        self.most_bytes = 0

    async def ask(self, number: int, *, yields: int) -> None:
        digest = f"model{number}"
        for _ in range(yields):
            await asyncio.sleep(0)
        try:
            await self._run(digest, number)
            self.outcomes["answered"] += 1
        except (ModelLoadFailed, Overloaded):
            self.outcomes["refused"] += 1
        except asyncio.CancelledError:
            self.outcomes["cancelled"] += 1

    async def _run(self, digest: str, number: int) -> None:
        session = self.pool.loaded(digest) or await self._load(digest, number)
        x = np.full((4, 3), number, np.float32)
        with self.pool.lease(digest):
            was_kept = self.pool.loaded(digest) is session
            answer = await self.executor.run(session, {"x": x}, None, deadline=None)
            if was_kept and digest != "model1":  # The one that is dropped at times.
                assert self.pool.loaded(digest) is session
        np.testing.assert_array_equal(answer["y"], x * (number + 2) + 1)
        self.look()

    async def _load(self, digest: str, number: int) -> Session:
        async def open_directory() -> Path:
            self.look()
            return self.folders[digest]

        size_bytes = (number % 3 + 1) * MIB
        return await self.pool.load(digest, open_directory, size_bytes=size_bytes)

    def look(self) -> None:
        self.most_bytes = max(self.most_bytes, self.pool.memory_bytes)


@pytest.mark.parametrize("seed", range(6))
async def test_a_storm_of_askers_drops_and_cancellations(
    write_model: WriteModel, seed: int
) -> None:
    chance = random.Random(seed)
    folders = {
        f"model{number}": write_model(graphs.affine(number + 2))
        for number in range(MODELS)
    }
    pool = SessionPool(memory_budget_bytes=BUDGET, room_wait_s=30)
    executor = Executor(threads=2, limits=QueueLimits(count=1000))
    storm = Storm(pool, executor, folders)
    pool.pin(frozenset({PINNED}))
    await storm.ask(0, yields=0)
    pinned = pool.loaded(PINNED)
    asking = []
    for _ in range(200):
        number = chance.randrange(MODELS)
        asked = storm.ask(number, yields=chance.randrange(20))
        asking.append(asyncio.create_task(asked))
        if chance.random() < 0.1:
            pool.drop("model1")
        if chance.random() < 0.1:
            chance.choice(asking).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(each) for each in done} <= {type(None), asyncio.CancelledError}
    assert storm.outcomes["answered"] > 100
    assert storm.outcomes["refused"] == 0
    assert storm.most_bytes <= BUDGET
    assert pool.loaded(PINNED) is pinned
    await executor.close()
    await pool.close()


Sizes = st.lists(st.integers(0, 12), max_size=12)


class _NoSession:
    """What the table asks of a session: that it can be referred to."""


@given(sizes=Sizes, wanted=st.integers(0, 20), data=st.data())
def test_just_enough_idle_ones_go_the_longest_unused_first(
    sizes: list[int], wanted: int, data: st.DataObject
) -> None:
    residents = Residents(budget_bytes=20, on_idle=lambda: None, on_gone=lambda _: None)
    sessions: list[Any] = [_NoSession() for _ in sizes]
    kept = []
    for number, (size, session) in enumerate(zip(sizes, sessions, strict=True)):
        if residents.reserve(size):
            residents.bear(session, size)
            residents.keep(str(number), session, size)
            kept.append((str(number), size))
    busy = data.draw(st.sets(st.sampled_from([name for name, _ in kept] or ["-"])))
    residents.pinned = frozenset(busy)
    free = 20 - sum(size for _, size in kept)
    idle = [(name, size) for name, size in kept if name not in busy]

    victims = residents.victims(wanted)

    if wanted > free + sum(size for _, size in idle):
        assert victims == []
        return
    assert victims == [name for name, _ in idle[: len(victims)]]
    freed = [size for _, size in idle[: len(victims)]]
    assert free + sum(freed) >= wanted
    assert not freed or free + sum(freed[:-1]) < wanted
