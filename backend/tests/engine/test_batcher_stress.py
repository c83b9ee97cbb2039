"""Many callers at once, each of whom is owed one right answer."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from app.engine.admission import QueueLimits
from app.engine.batcher import Batcher, Batching
from app.engine.executor import Executor
from app.engine.session import Session
from app.errors import InferenceFailed, InferenceTimeout, ShuttingDown
from tests import graphs
from tests.engine.conftest import OpenModel

CALLS = 500
KNOWN = 100
MODES: tuple[Batching, ...] = ("auto", "on")


@dataclass(frozen=True, slots=True)
class Call:
    """What one caller asks for, and whether and when it leaves or runs out of time."""

    numbers: list[int]
    count_to: int
    starts_after: int
    leaves_after: int | None
    deadline_s: float | None
    batching: Batching

    @classmethod
    def made_up(cls, dice: random.Random) -> "Call":
        return cls(
            numbers=[dice.randrange(KNOWN + 2) for _ in range(dice.randint(1, 4))],
            count_to=dice.choice([0, 0, 50, 2000]),
            starts_after=dice.randrange(60),
            leaves_after=dice.choice([None, None, None, dice.randrange(80)]),
            deadline_s=dice.choice([None, 60.0, 0.02]),
            batching=dice.choice(MODES),
        )

    def check(self, result: Any) -> None:
        if isinstance(result, asyncio.CancelledError):
            assert self.leaves_after is not None
        elif isinstance(result, InferenceTimeout):
            assert self.deadline_s == 0.02
        elif max(self.numbers) >= KNOWN:
            assert isinstance(result, InferenceFailed)
        else:
            assert result["y"].tolist() == self.numbers


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def make(call: Call, batcher: Batcher, session: Session) -> Any:
    await turns(call.starts_after)
    deadline = None
    if call.deadline_s is not None:
        deadline = time.monotonic() + call.deadline_s
    count_to = np.full(len(call.numbers), call.count_to)
    task = asyncio.create_task(
        batcher.run(
            session,
            {"i": np.array(call.numbers), "n": count_to},
            ("y",),
            deadline=deadline,
            batching=call.batching,
        )
    )
    if call.leaves_after is not None:
        await turns(call.leaves_after)
        task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result


def open_lookup(open_model: OpenModel) -> Session:
    session: Session = open_model(graphs.slow_lookup(KNOWN))
    session.costs.distrust()
    return session


@pytest.mark.parametrize("seed", range(6))
async def test_every_caller_gets_the_right_answer_or_its_own_error(
    open_model: OpenModel, seed: int
) -> None:
    executor = Executor(threads=1 + seed % 3, limits=QueueLimits(count=CALLS * 2))
    batcher = Batcher(executor, max_rows=16)
    session = open_lookup(open_model)
    dice = random.Random(seed)
    calls = [Call.made_up(dice) for _ in range(CALLS)]
    results = await asyncio.gather(*(make(call, batcher, session) for call in calls))
    for call, result in zip(calls, results, strict=True):
        call.check(result)
    after = await make(Call([1, 2], 0, 0, None, None, "on"), batcher, session)
    assert after["y"].tolist() == [1, 2]
    await batcher.close()
    await executor.close()


async def test_shapes_and_types_are_never_mixed(open_model: OpenModel) -> None:
    executor = Executor(threads=2, limits=QueueLimits(count=CALLS * 2))
    batcher = Batcher(executor, max_rows=64)
    numbers = open_model(graphs.identity(graphs.FLOAT, ["N", None]))
    texts = open_model(graphs.string_identity(["N", None]))
    for session in (numbers, texts):
        session.costs.distrust()
    dice = random.Random(1)

    async def ask(number: int) -> None:
        shape = (dice.randint(1, 3), dice.randint(0, 3))
        is_text = dice.random() < 0.5
        value: Any = np.full(shape, number, np.float32)
        if is_text:
            value = np.full(shape, f"é{number}", object)
        session = texts if is_text else numbers
        answer: Any = await batcher.run(session, {"x": value}, None, deadline=None)
        assert answer["y"].shape == shape
        assert answer["y"].dtype == value.dtype
        np.testing.assert_array_equal(answer["y"], value)

    await asyncio.gather(*map(ask, range(CALLS)))
    await batcher.close()
    await executor.close()


async def test_closing_in_the_middle_of_a_load_answers_everybody(
    open_model: OpenModel,
) -> None:
    executor = Executor(threads=2, limits=QueueLimits(count=CALLS * 2))
    batcher = Batcher(executor, max_rows=16)
    session = open_lookup(open_model)
    call = Call([1], 500, 0, None, None, "on")
    calls = [asyncio.create_task(make(call, batcher, session)) for _ in range(CALLS)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    await batcher.close()
    await executor.close()
    results = await asyncio.gather(*calls)
    refused = [result for result in results if isinstance(result, ShuttingDown)]
    answered = [result["y"].tolist() for result in results if isinstance(result, dict)]
    assert answered == [[1]] * (CALLS - len(refused))
    assert 0 < len(answered) < CALLS
