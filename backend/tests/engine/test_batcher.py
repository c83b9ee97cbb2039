import asyncio
import gc
import logging
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from app.engine.admission import QueueLimits
from app.engine.batch import Batch, Member
from app.engine.batch_gains import BatchGains
from app.engine.batch_rows import rows_of
from app.engine.batcher import Batcher, Batching
from app.engine.dispatch import size_bucket
from app.engine.executor import Executor
from app.engine.lanes import Lanes
from app.engine.session import Session
from app.engine.timing import Timing
from app.errors import InferenceFailed, InferenceTimeout, Overloaded, ShuttingDown
from tests import graphs
from tests.engine.conftest import OpenModel

ENDLESS = 10**15
KNOWN = 100


class Desk:
    """Calls one model that looks numbers up, after counting as far as told."""

    def __init__(self, executor: Executor, batcher: Batcher, session: Session) -> None:
        self.executor = executor
        self.batcher = batcher
        self.session = session

    def call(
        self,
        *numbers: int,
        count_to: int = 0,
        deadline: float | None = None,
        timing: Timing | None = None,
        outputs: Sequence[str] | None = ("y",),
        batching: Batching = "on",
    ) -> "asyncio.Task[Any]":
        inputs = {"i": np.array(numbers), "n": np.full(len(numbers), count_to)}
        return asyncio.create_task(
            self.batcher.run(
                self.session,
                inputs,
                outputs,
                deadline=deadline,
                timing=timing,
                batching=batching,
            )
        )

    async def block(self, count: int = 1) -> "list[asyncio.Task[Any]]":
        """Endless runs on as many threads, behind which other calls wait."""
        runs = [self.call(0, count_to=ENDLESS) for _ in range(count)]
        await turn()
        # A run before is answered a little sooner than its thread is free. Until they
        # run, the calls that follow would go along with them.
        while self.executor.waiting:
            await turn()
        return runs


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor(threads=1, limits=QueueLimits(count=1000))
    yield executor
    await executor.close()


@pytest.fixture
async def batcher(executor: Executor) -> AsyncIterator[Batcher]:
    batcher = Batcher(executor, max_rows=64)
    yield batcher
    await batcher.close()


@pytest.fixture
def desk(executor: Executor, batcher: Batcher, open_model: OpenModel) -> Desk:
    return Desk(executor, batcher, open_lookup(open_model))


def open_lookup(open_model: OpenModel) -> Session:
    session: Session = open_model(graphs.slow_lookup(KNOWN))
    # Its inputs' shapes don't tell its cost, so it never runs on the loop.
    session.costs.distrust()
    return session


async def turn() -> None:
    """Lets the calls made so far get to their place."""
    await asyncio.sleep(0)


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def counted(desk: Desk) -> None:
    """The runs before have been counted: the one thread that there is goes on."""
    await desk.call(0)


def in_s(seconds: float) -> float:
    return time.monotonic() + seconds


def timings(count: int) -> list[Timing]:
    return [Timing() for _ in range(count)]


async def test_a_call_that_finds_a_thread_free_runs_at_once(desk: Desk) -> None:
    timing = Timing()
    answer = await desk.call(3, 4, timing=timing)
    assert answer["y"].tolist() == [3, 4]
    assert (timing.batch_rows, timing.leads) == (2, True)
    assert timing.compute_ns > 0


async def test_calls_that_wait_are_run_together_and_get_their_own_rows(
    desk: Desk,
) -> None:
    blocker = await desk.block()
    seen = timings(4)
    wanted = [(1,), (2, 3), (4, 5, 6), (7,)]
    calls = [
        desk.call(*numbers, timing=timing)
        for numbers, timing in zip(wanted, seen, strict=True)
    ]
    await turn()
    await cancel(*blocker)
    answers = await asyncio.gather(*calls)
    assert [tuple(answer["y"]) for answer in answers] == wanted
    assert [timing.batch_rows for timing in seen] == [7] * 4
    assert [timing.leads for timing in seen] == [True, False, False, False]
    assert all(timing.queue_ns > 0 for timing in seen)


async def test_a_caller_who_leaves_before_the_batch_is_taken_out(desk: Desk) -> None:
    blocker = await desk.block()
    seen = timings(3)
    first, gone, last = (desk.call(i, timing=timing) for i, timing in enumerate(seen))
    await turn()
    await cancel(gone)
    await cancel(*blocker)
    assert (await first)["y"] == 0
    assert (await last)["y"] == 2
    assert [timing.batch_rows for timing in seen] == [2, 0, 2]


async def test_a_caller_who_leaves_a_running_batch_disturbs_no_mate(
    desk: Desk,
) -> None:
    blocker = await desk.block()
    seen = timings(3)
    leaver, *mates = (
        desk.call(i, count_to=200_000, timing=timing) for i, timing in enumerate(seen)
    )
    await turn()
    await cancel(*blocker)
    await cancel(leaver)
    answers = await asyncio.gather(*mates)
    assert [answer["y"].tolist() for answer in answers] == [[1], [2]]
    assert [timing.batch_rows for timing in seen[1:]] == [3, 3]
    assert [timing.leads for timing in seen[1:]] == [True, False]


async def test_a_batch_that_all_callers_left_is_stopped(
    desk: Desk, executor: Executor
) -> None:
    blocker = await desk.block()
    calls = [desk.call(i, count_to=ENDLESS) for i in range(3)]
    await turn()
    await cancel(*blocker)
    await cancel(*calls)
    # It waits for the threads, so it does not come back while one runs.
    await executor.close()


async def test_only_the_callers_own_failure_reaches_a_caller(desk: Desk) -> None:
    blocker = await desk.block()
    seen = timings(4)
    calls = [
        desk.call(i, timing=timing)
        for i, timing in zip((1, KNOWN, 2, KNOWN + 1), seen, strict=True)
    ]
    await turn()
    await cancel(*blocker)
    results: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results[1::2]] == [InferenceFailed] * 2
    assert [result["y"].tolist() for result in results[::2]] == [[1], [2]]
    assert [(seen[i].batch_rows, seen[i].leads) for i in (0, 2)] == [(1, True)] * 2


async def test_the_last_to_leave_is_known_though_others_outcomes_come_late(
    desk: Desk,
) -> None:
    inputs = {"i": np.array([1]), "n": np.array([0])}
    rows = rows_of(inputs)
    assert rows is not None
    loop = asyncio.get_running_loop()
    early, last = (
        Member(desk.session, inputs, None, rows, Timing(), loop.create_future())
        for _ in range(2)
    )
    ticket = Lanes(threads=1).enter("a", lambda _: None, background=False)
    batch = Batch(ticket, [early, last])
    assert not batch.leave(early)
    batch.settle([(early, InferenceFailed("it was stopped"))])
    assert batch.leave(last)


async def test_a_deadline_answers_one_caller_and_leaves_the_batch_to_the_others(
    desk: Desk,
) -> None:
    blocker = await desk.block()
    seen = timings(2)
    hasty = desk.call(1, deadline=in_s(0.05), count_to=300_000, timing=seen[0])
    patient = desk.call(2, deadline=in_s(60), count_to=300_000, timing=seen[1])
    await turn()
    await cancel(*blocker)
    with pytest.raises(InferenceTimeout, match="and was stopped"):
        await hasty
    assert not patient.done()
    assert (await patient)["y"] == 2
    assert (seen[1].batch_rows, seen[1].leads) == (2, True)


async def test_a_batch_past_the_last_deadline_is_stopped(
    desk: Desk, executor: Executor
) -> None:
    blocker = await desk.block()
    calls = [desk.call(i, deadline=in_s(0.1), count_to=ENDLESS) for i in range(2)]
    await turn()
    await cancel(*blocker)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [InferenceTimeout] * 2
    await executor.close()


async def test_a_caller_whose_deadline_passes_in_the_queue_is_answered_then(
    desk: Desk,
) -> None:
    blocker = await desk.block()
    with pytest.raises(InferenceTimeout):
        await desk.call(1, deadline=in_s(0.02))
    assert not blocker[0].done()
    await cancel(*blocker)


async def test_waiting_callers_fill_the_queue(open_model: OpenModel) -> None:
    executor = Executor(threads=1, limits=QueueLimits(count=4))
    batcher = Batcher(executor, max_rows=64)
    desk = Desk(executor, batcher, open_lookup(open_model))
    calls = await desk.block() + [desk.call(i) for i in range(3)]
    await turn()
    with pytest.raises(Overloaded, match="3 predictions of this model"):
        await desk.call(1)
    await cancel(*calls)
    await batcher.close()
    await executor.close()


async def test_a_waiting_caller_who_leaves_frees_the_place(
    open_model: OpenModel,
) -> None:
    executor = Executor(threads=1, limits=QueueLimits(count=4))
    batcher = Batcher(executor, max_rows=64)
    desk = Desk(executor, batcher, open_lookup(open_model))
    calls = await desk.block() + [desk.call(i) for i in range(3)]
    await turn()
    await cancel(calls.pop())
    calls.append(desk.call(7))
    await turn()
    assert not any(call.done() for call in calls)
    await cancel(calls[0])
    assert (await calls[-1])["y"] == 7
    await batcher.close()
    await executor.close()


async def test_a_caller_about_to_leave_is_not_taken_along(desk: Desk) -> None:
    (blocker,) = await desk.block()
    seen = timings(3)
    calls = [desk.call(i, timing=timing) for i, timing in enumerate(seen)]
    await turn()
    # The place that the first gives up is taken before the second has gone.
    blocker.cancel()
    calls[1].cancel()
    await asyncio.gather(calls[0], calls[2])
    assert [timing.batch_rows for timing in seen] == [2, 0, 2]


async def test_a_large_call_holds_up_no_batch_of_small_ones(
    executor: Executor, open_model: OpenModel
) -> None:
    batcher = Batcher(executor, max_rows=4)
    desk = Desk(executor, batcher, open_lookup(open_model))
    blocker = await desk.block()
    seen = timings(4)
    calls = [
        desk.call(*numbers, timing=timing)
        for numbers, timing in zip(([1], range(5), [2, 3], [4, 5]), seen, strict=True)
    ]
    await turn()
    await cancel(*blocker)
    answers = await asyncio.gather(*calls)
    assert [timing.batch_rows for timing in seen] == [3, 5, 3, 2]
    assert answers[1]["y"].tolist() == [0, 1, 2, 3, 4]
    await batcher.close()


async def test_a_thread_takes_no_more_than_its_share_of_those_who_wait(
    open_model: OpenModel,
) -> None:
    executor = Executor(threads=2)
    batcher = Batcher(executor, max_rows=64)
    desk = Desk(executor, batcher, open_lookup(open_model))
    first, second = await desk.block(2)
    seen = timings(4)
    calls = [desk.call(1, timing=timing, count_to=ENDLESS) for timing in seen[:2]]
    calls += [desk.call(1, timing=timing) for timing in seen[2:]]
    await turn()
    await cancel(first)
    await cancel(second)
    await asyncio.wait(calls[2:], timeout=30)
    # One thread has the first two, which do not end, the other one of the rest.
    assert not any(call.done() for call in calls[:2])
    assert [timing.batch_rows for timing in seen[2:]] == [1, 1]
    await cancel(*calls)
    await batcher.close()
    await executor.close()


async def test_calls_for_other_outputs_or_shapes_are_not_mixed(
    desk: Desk,
) -> None:
    blocker = await desk.block()
    seen = timings(4)
    calls = [
        desk.call(1, timing=seen[0]),
        desk.call(2, timing=seen[1], outputs=("y", "total")),
        desk.call(3, timing=seen[2]),
        desk.call(4, timing=seen[3], batching="off"),
    ]
    await turn()
    await cancel(*blocker)
    answers = await asyncio.gather(*calls)
    assert [answer["y"].tolist() for answer in answers] == [[1], [2], [3], [4]]
    assert [list(answer) for answer in answers[:2]] == [["y"], ["y", "total"]]
    assert [timing.batch_rows for timing in seen] == [2, 1, 2, 0]


async def test_a_model_whose_outputs_have_other_rows_is_never_batched_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for round_ in range(2):
        blocker = await desk.block()
        seen = timings(3)
        with caplog.at_level(logging.WARNING):
            calls = [
                desk.call(i, outputs=None, timing=each) for i, each in enumerate(seen)
            ]
            await turn()
            await cancel(*blocker)
            answers = await asyncio.gather(*calls)
        assert [answer["total"].tolist() for answer in answers] == [[0], [1], [2]]
        assert [timing.batch_rows for timing in seen] == [1 - round_] * 3
        await counted(desk)
    assert len(caplog.records) == 1
    assert "its calls are run one by one from now on" in caplog.text


class NotedGains(BatchGains):
    """Chooses two rows, and notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[int, int]] = []

    def choose(self, row_bytes: int, waiting: int) -> int:
        return min(2, waiting)

    def record(self, row_bytes: int, rows: int, took_s: float) -> None:
        assert took_s > 0
        self.noted.append((row_bytes, rows))


async def test_by_itself_it_batches_as_was_measured_of_runs_that_others_waited_for(
    desk: Desk, executor: Executor
) -> None:
    gains = desk.session.gains = NotedGains()
    await desk.call(1, batching="auto")
    assert gains.noted == []
    blocker = await desk.block()
    seen = timings(5)
    calls = [desk.call(1, timing=each, batching="auto") for each in seen]
    await turn()
    await cancel(*blocker)
    await asyncio.gather(*calls)
    await executor.close()
    assert [timing.batch_rows for timing in seen] == [2, 2, 2, 2, 1]
    assert gains.noted == [(16, 2), (16, 2), (16, 1)]


async def test_a_batch_that_failed_counts_with_all_that_it_took(
    desk: Desk, executor: Executor
) -> None:
    gains = desk.session.gains = NotedGains()
    blocker = await desk.block()
    calls = [desk.call(i, batching="auto") for i in (1, KNOWN)]
    await turn()
    await cancel(*blocker)
    await asyncio.gather(*calls, return_exceptions=True)
    await executor.close()
    assert gains.noted == [(16, 2)]


async def test_a_run_that_was_stopped_is_not_counted(
    desk: Desk, executor: Executor
) -> None:
    gains = desk.session.gains = NotedGains()
    blocker = await desk.block()
    calls = [desk.call(i, count_to=ENDLESS, batching="auto") for i in (1, 2)]
    await turn()
    await cancel(*blocker)
    await cancel(*calls)
    await executor.close()
    assert gains.noted == []


async def test_inputs_without_rows_are_run_as_they_are(
    batcher: Batcher, open_model: OpenModel
) -> None:
    session = open_model(graphs.scalar())
    answer: Any = await batcher.run(
        session, {"x": np.array(3, np.float32)}, None, deadline=None
    )
    assert answer["y"] == 9


async def test_cheap_calls_run_without_leaving_the_loop(
    batcher: Batcher, open_model: OpenModel
) -> None:
    session = open_model(graphs.add_one())
    inputs = {"x": np.ones(1, np.float32)}
    for _ in range(200):
        if session.costs.is_cheap(size_bucket(inputs)):
            break
        await batcher.run(session, inputs, None, deadline=None)
    run = batcher.run(session, inputs, None, deadline=None, batching="on")
    with pytest.raises(StopIteration) as finished:
        run.send(None)
    assert finished.value.value["y"] == 2


async def test_closing_answers_those_who_wait_and_refuses_more(
    desk: Desk, batcher: Batcher
) -> None:
    blocker = await desk.block()
    seen = timings(3)
    calls = [desk.call(i, timing=timing) for i, timing in enumerate(seen)]
    await turn()
    await batcher.close()
    results = await asyncio.gather(*blocker, *calls, return_exceptions=True)
    assert [type(result) for result in results] == [ShuttingDown] * 4
    assert [timing.batch_rows for timing in seen] == [0] * 3
    with pytest.raises(ShuttingDown):
        await desk.call(1)


async def test_an_answered_call_leaves_nothing_behind(
    executor: Executor, open_model: OpenModel
) -> None:
    batcher = Batcher(executor, max_rows=64)
    desk = Desk(executor, batcher, open_lookup(open_model))
    blocker = await desk.block()
    kept: list[weakref.ref[Any]] = []

    async def call(number: int) -> None:
        inputs = {"i": np.array([number]), "n": np.array([0])}
        kept.extend(map(weakref.ref, inputs.values()))
        await batcher.run(desk.session, inputs, ("y",), deadline=None, batching="on")

    gc.disable()
    try:
        calls = [asyncio.create_task(call(number)) for number in range(3)]
        await turn()
        await cancel(*blocker)
        await asyncio.gather(*calls)
        await batcher.close()
        await executor.close()
        assert [ref() for ref in kept] == [None] * 6
    finally:
        gc.enable()
