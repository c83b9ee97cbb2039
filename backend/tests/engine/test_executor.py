import asyncio
import time
import weakref
from typing import Any

import numpy as np
import pytest

from app.engine.admission import Demand, QueueLimits, Reason
from app.engine.dispatch import size_bucket
from app.engine.executor import Executor
from app.engine.session import Session
from app.errors import InferenceFailed, InferenceTimeout, Overloaded, ShuttingDown
from tests import graphs
from tests.engine.conftest import OpenModel

ONE = {"x": np.ones(1, np.float32)}
NO_QUEUE = QueueLimits(count=0)


def counted(n: int) -> dict[str, Any]:
    return {"x": np.ones(1, np.float32), "n": np.array(n)}


def in_s(seconds: float) -> float:
    return time.monotonic() + seconds


async def make_cheap(
    executor: Executor, session: Session, inputs: dict[str, Any]
) -> None:
    """Runs until these inputs are known to be cheap."""
    for _ in range(200):
        if session.costs.is_cheap(size_bucket(inputs)):
            return
        await executor.run(session, inputs, None, deadline=None)
    pytest.fail("the model never became cheap")


async def started(executor: Executor, session: Session, count: int) -> list[Any]:
    """Endless runs, each handed to the pool."""
    runs = [
        asyncio.create_task(executor.run(session, ONE, None, deadline=None))
        for _ in range(count)
    ]
    await asyncio.sleep(0)
    return runs


async def cancel(tasks: list[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_concurrent_runs_get_their_own_answers(
    executor: Executor, open_model: OpenModel
) -> None:
    executor = Executor(threads=4, limits=QueueLimits(count=400))
    session = open_model(graphs.affine(3.0, width=2))
    inputs = [{"x": np.full((1 + i % 3, 2), i, np.float32)} for i in range(200)]
    answers = await asyncio.gather(
        *(executor.run(session, each, None, deadline=in_s(60)) for each in inputs)
    )
    await executor.close()
    for each, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], 3 * each["x"] + 1)


async def test_a_cheap_model_runs_without_leaving_the_loop(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.add_one())
    await make_cheap(executor, session, ONE)
    run = executor.run(session, ONE, None, deadline=in_s(60))
    with pytest.raises(StopIteration) as finished:
        run.send(None)
    assert finished.value.value["y"] == 2


async def test_a_cheap_models_error_reaches_the_caller(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.lookup(3))
    good, bad = {"i": np.array([2])}, {"i": np.array([7])}
    await make_cheap(executor, session, good)
    for _ in range(3):
        with pytest.raises(InferenceFailed):
            await executor.run(session, bad, None, deadline=None)
    assert (await executor.run(session, good, None, deadline=None))["y"] == 2


async def test_a_slow_run_thought_cheap_moves_to_a_thread(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.counted_loop())
    await make_cheap(executor, session, counted(1))
    slow = counted(1_000_000)
    answer = await executor.run(session, slow, None, deadline=in_s(60))
    assert answer["y"] == 1 + 1_000_000
    assert not session.costs.is_cheap(size_bucket(slow))


async def test_an_endless_run_thought_cheap_meets_its_deadline(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.counted_loop())
    await make_cheap(executor, session, counted(1))
    with pytest.raises(InferenceTimeout, match="past its time limit"):
        await executor.run(session, counted(10**15), None, deadline=in_s(0.5))
    answer = await executor.run(session, counted(2), None, deadline=in_s(60))
    assert answer["y"] == 3


async def test_a_run_past_its_deadline_frees_its_thread(open_model: OpenModel) -> None:
    executor = Executor(threads=1, limits=NO_QUEUE)
    session = open_model(graphs.slow_loop())
    with pytest.raises(InferenceTimeout, match="past its time limit"):
        await executor.run(session, ONE, None, deadline=in_s(0.1))
    await run_when_free(executor, open_model(graphs.add_one()))
    await executor.close()


async def test_a_cancelled_caller_frees_its_thread(open_model: OpenModel) -> None:
    executor = Executor(threads=1, limits=NO_QUEUE)
    await cancel(await started(executor, open_model(graphs.slow_loop()), 1))
    await run_when_free(executor, open_model(graphs.add_one()))
    await executor.close()


async def run_when_free(executor: Executor, session: Session) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                answer = await executor.run(session, ONE, None, deadline=None)
            except Overloaded:
                await asyncio.sleep(0)
            else:
                assert answer["y"] == 2
                return


async def test_too_many_waiting_runs_are_refused(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.slow_loop())
    running = await started(executor, session, 5)
    with pytest.raises(Overloaded, match="3 predictions of this model") as caught:
        await executor.run(session, ONE, None, deadline=None)
    assert caught.value.headers == {"Retry-After": "1"}
    running += await started(executor, open_model(graphs.slow_loop()), 2)
    with pytest.raises(Overloaded, match="4 predictions are waiting"):
        await executor.run(open_model(graphs.add_one()), ONE, None, deadline=None)
    await cancel(running)


async def test_a_models_own_limit_counts_for_it_alone(
    executor: Executor, open_model: OpenModel
) -> None:
    session, other = open_model(graphs.slow_loop()), open_model(graphs.slow_loop())
    running = await started(executor, session, 2)
    with pytest.raises(Overloaded, match="its limit is 0"):
        await executor.run(session, ONE, None, deadline=None, queue_limit=0)
    running += await started(executor, other, 2)
    assert executor.waiting == 1
    await cancel(running)


async def test_a_run_that_starts_at_once_waits_for_nothing_and_needs_no_place(
    open_model: OpenModel,
) -> None:
    executor = Executor(threads=1, limits=NO_QUEUE)
    running = await started(executor, open_model(graphs.slow_loop()), 1)
    assert (executor.waiting, executor.waiting_bytes) == (0, 0)
    answer = await executor.run(
        open_model(graphs.add_one()), ONE, None, deadline=None, queue_limit=0
    )
    assert answer["y"] == 2
    await cancel(running)
    await executor.close()


async def test_whoever_leaves_gives_back_the_place_and_its_bytes(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.slow_loop())
    first, second, *waiting = await started(executor, session, 5)
    assert (executor.waiting, executor.waiting_bytes) == (3, 3 * 4)
    await cancel(waiting[:1])
    assert (executor.waiting, executor.waiting_bytes) == (2, 2 * 4)
    with pytest.raises(InferenceTimeout):
        await executor.run(session, ONE, None, deadline=in_s(0.01))
    assert (executor.waiting, executor.waiting_bytes) == (2, 2 * 4)
    await cancel([first, second, *waiting])
    assert (executor.waiting, executor.waiting_bytes) == (0, 0)


async def test_the_inputs_of_whoever_is_refused_are_freed_at_once(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.slow_loop())
    running = await started(executor, session, 5)
    large = np.ones(1, np.float32)
    seen = weakref.ref(large)
    with pytest.raises(Overloaded):
        await executor.run(session, {"x": large}, None, deadline=None)
    del large
    assert seen() is None
    await cancel(running)


async def test_each_refusal_is_told_with_its_reason(open_model: OpenModel) -> None:
    told: list[Reason] = []
    executor = Executor(threads=1, limits=NO_QUEUE, on_refused=told.append)
    session = open_model(graphs.slow_loop())
    running = await started(executor, session, 1)
    with pytest.raises(Overloaded):
        await executor.run(session, ONE, None, deadline=None)
    assert told == ["server_queue"]
    await cancel(running)
    await executor.close()


async def test_a_model_that_has_every_thread_stops_no_other(
    executor: Executor, open_model: OpenModel
) -> None:
    running = await started(executor, open_model(graphs.slow_loop()), 4)
    answer = await executor.run(
        open_model(graphs.add_one()), ONE, None, deadline=in_s(60)
    )
    assert answer["y"] == 2
    assert not any(task.done() for task in running)
    await cancel(running)


async def test_jobs_leave_a_thread_to_those_who_wait(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.counted_loop())
    endless = [
        asyncio.create_task(
            executor.run(session, counted(10**15), None, deadline=None, background=True)
        )
        for _ in range(3)
    ]
    await asyncio.sleep(0)
    answer = await executor.run(session, counted(2), None, deadline=in_s(60))
    assert answer["y"] == 3
    await cancel(endless)


async def test_runs_that_cannot_be_stopped_keep_no_thread_from_others(
    open_model: OpenModel,
) -> None:
    executor = Executor(threads=1)
    session = open_model(graphs.unstoppable())
    for _ in range(2):
        with pytest.raises(InferenceTimeout):
            await executor.run(session, ONE, None, deadline=in_s(0.01))
    answer = await executor.run(
        open_model(graphs.add_one()), ONE, None, deadline=in_s(60)
    )
    assert answer["y"] == 2
    await executor.close()


async def test_a_run_whose_deadline_passes_in_the_queue_is_answered_then(
    executor: Executor, open_model: OpenModel
) -> None:
    session = open_model(graphs.slow_loop())
    running = await started(executor, session, 2)
    with pytest.raises(InferenceTimeout):
        await executor.run(session, ONE, None, deadline=in_s(0.05))
    assert not any(task.done() for task in running)
    await cancel(running)


async def test_closing_answers_those_who_wait_and_refuses_more(
    open_model: OpenModel,
) -> None:
    executor = Executor(threads=1)
    session = open_model(graphs.slow_loop())
    running = await started(executor, session, 3)
    await executor.close()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [type(result) for result in results] == [ShuttingDown] * 3
    with pytest.raises(ShuttingDown):
        await executor.run(session, ONE, None, deadline=None)
    with pytest.raises(ShuttingDown):
        executor.admit(session, Demand())
    assert executor.waiting == 0
