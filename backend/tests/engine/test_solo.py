import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from app.engine.dispatch import RunCosts
from app.engine.executor import Executor
from app.engine.loading import load_session
from app.engine.plan import SessionPlan, SessionPlans
from app.engine.pool import SessionPool
from app.engine.session import Session, Stop
from app.engine.solo import Crowd, Solo, SoloCopies
from app.engine.values import Tensors, Value
from app.errors import ArtifactCorrupt, InvalidModel
from tests import graphs
from tests.engine.conftest import WriteModel
from tests.processes import wait_until

INPUTS = {"x": np.ones(1, np.float32)}
FILE_BYTES = 1000
# A copy takes more than its files.
ONE_COPY = 2 * FILE_BYTES
LONG_S = 0.03


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed:
    """A session whose runs take a time of our choice, and are counted."""

    def __init__(self, clock: Clock, took_s: float) -> None:
        self.costs = RunCosts()
        self.took_s = took_s
        self.runs = 0
        self._clock = clock

    def run_stoppable(
        self, inputs: Tensors, outputs: Sequence[str] | None, stop: Stop | None
    ) -> dict[str, Value]:
        self.runs += 1
        self._clock.now += self.took_s
        return dict(inputs)


class Model:
    """One that has a copy when it may, and both its sessions."""

    def __init__(
        self, clock: Clock, copies: SoloCopies, *, took_s: float, copy_s: float
    ) -> None:
        self.session, self.copy = Timed(clock, took_s), Timed(clock, copy_s)
        self.solo = Solo(copies, FILE_BYTES, lambda: self.copy)

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self.solo.run(self.session, INPUTS, None, None)

    def has_copy(self) -> bool:
        return self.solo.threads > 1

    def get_copy(self) -> None:
        self.run(3)
        wait_until(self.has_copy, "the copy")


MakeModel = Callable[..., Model]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def copies(clock: Clock) -> Iterator[SoloCopies]:
    copies = SoloCopies(threads=2, memory_bytes=ONE_COPY, clock=clock)
    yield copies
    copies.close()


@pytest.fixture
def make_model(clock: Clock, copies: SoloCopies) -> MakeModel:
    def make(*, took_s: float = LONG_S, copy_s: float = LONG_S / 2) -> Model:
        return Model(clock, copies, took_s=took_s, copy_s=copy_s)

    return make


def test_a_run_is_alone_until_another_begins_and_again_after_one_more() -> None:
    crowd = Crowd(threads=2)
    with crowd.one_more() as first, crowd.one_more() as second:
        assert (first, second) == (True, False)
    with crowd.one_more() as after:
        assert not after
    with crowd.one_more() as settled:
        assert settled


def test_fewer_than_half_as_many_runs_as_threads_are_no_crowd() -> None:
    crowd = Crowd(threads=5)
    with crowd.one_more() as one, crowd.one_more() as two, crowd.one_more() as three:
        assert (one, two, three) == (True, True, False)


def test_a_run_that_fails_no_longer_counts() -> None:
    crowd = Crowd(threads=1)
    with pytest.raises(KeyError), crowd.one_more():
        raise KeyError
    with crowd.one_more() as alone:
        assert alone


def test_long_runs_that_are_alone_come_to_run_on_all_threads(
    make_model: MakeModel,
) -> None:
    model = make_model()
    model.get_copy()
    assert model.session.runs == 3
    model.run(20)
    assert (model.session.runs, model.copy.runs) == (3, 20)
    assert model.solo.threads == 2


def test_a_run_beside_another_stays_on_one_thread(
    make_model: MakeModel, copies: SoloCopies
) -> None:
    model = make_model()
    model.get_copy()
    with copies.crowd.one_more():
        model.run()
    assert (model.session.runs, model.copy.runs) == (4, 0)


def test_short_runs_get_no_copy(make_model: MakeModel, copies: SoloCopies) -> None:
    model = make_model(took_s=0.001)
    model.run(20)
    assert copies.memory_bytes == 0


def test_a_long_run_now_and_then_gets_no_copy(
    make_model: MakeModel, copies: SoloCopies
) -> None:
    model = make_model()
    for _ in range(20):
        for took_s in (LONG_S, LONG_S, 0.001, 0.001):
            model.session.took_s = took_s
            model.run()
    assert copies.memory_bytes == 0


def test_a_model_with_a_copy_is_never_taken_for_cheap(make_model: MakeModel) -> None:
    model = make_model()
    model.get_copy()
    model.session.costs.record(7, 1e-6)
    assert model.session.costs.is_cheap(7)
    model.run()
    assert not model.session.costs.is_cheap(7)


def test_a_copy_that_is_no_quicker_is_given_up_for_good(
    make_model: MakeModel, copies: SoloCopies
) -> None:
    model = make_model(copy_s=LONG_S * 0.95)
    model.get_copy()
    model.run(20)
    assert model.copy.runs == 5
    assert not model.has_copy()
    assert copies.memory_bytes == 0


def test_without_room_a_model_has_no_copy_until_another_is_unused(
    make_model: MakeModel, copies: SoloCopies, clock: Clock
) -> None:
    first, second = make_model(), make_model()
    first.get_copy()
    second.run(20)
    assert (first.has_copy(), second.has_copy()) == (True, False)
    clock.now += 61
    second.get_copy()
    assert (first.has_copy(), second.has_copy()) == (False, True)
    assert copies.memory_bytes <= ONE_COPY
    clock.now += 61
    first.get_copy()
    assert not second.has_copy()


def test_a_copy_goes_with_its_model(make_model: MakeModel, copies: SoloCopies) -> None:
    model = make_model()
    model.get_copy()
    assert copies.memory_bytes > 0
    del model
    gc.collect()
    assert copies.memory_bytes == 0


def test_a_copy_that_cannot_be_loaded_is_not_tried_again(
    clock: Clock, copies: SoloCopies
) -> None:
    tried: list[int] = []

    def fail() -> Timed:
        tried.append(1)
        raise InvalidModel("its files changed")

    session = Timed(clock, LONG_S)
    solo = Solo(copies, FILE_BYTES, fail)
    for _ in range(3):
        solo.run(session, INPUTS, None, None)
    wait_until(lambda: copies.memory_bytes == 0 and bool(tried), "the failed load")
    for _ in range(10):
        solo.run(session, INPUTS, None, None)
    assert (len(tried), session.runs) == (1, 13)


def test_once_closed_nothing_is_loaded(
    make_model: MakeModel, copies: SoloCopies
) -> None:
    model = make_model()
    copies.close()
    model.run(10)
    assert not model.has_copy()
    assert copies.memory_bytes == 0


def thread_ids() -> set[str]:
    """Of all threads of this process, those of ONNX Runtime too."""
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.fixture
def plenty() -> Iterator[SoloCopies]:
    """Copies of any tiny model, on a clock by which every run takes long."""
    clock = Clock()

    def tick() -> float:
        clock.now += LONG_S
        return clock.now

    copies = SoloCopies(threads=3, memory_bytes=2**20, clock=tick)
    yield copies
    copies.close()


async def test_the_executor_runs_a_lone_caller_on_the_copy(
    write_model: WriteModel, plenty: SoloCopies
) -> None:
    folder = write_model(graphs.add_one())
    session = load_session(folder, SessionPlan(copies=plenty))
    session.costs.distrust()
    executor = Executor(threads=3)
    try:
        before = await executor.run(session, INPUTS, None, deadline=None)
        for _ in range(2):
            await executor.run(session, INPUTS, None, deadline=None)
        wait_until(lambda: session.execution.threads_alone == 3, "the copy")
        after = await executor.run(session, INPUTS, None, deadline=None)
    finally:
        await executor.close()
    assert before["y"] == after["y"] == 2


def test_files_that_changed_since_give_no_copy(
    write_model: WriteModel, plenty: SoloCopies
) -> None:
    folder = write_model(graphs.add_one())
    session = load_session(folder, SessionPlan(copies=plenty))
    (folder / "model.onnx").write_bytes(graphs.affine())
    for _ in range(3):
        session.run_on_thread(INPUTS, None, None)
    wait_until(lambda: plenty.memory_bytes == 0, "the refusal")
    result = session.run_on_thread(INPUTS, None, None)
    assert result["y"] == 2
    assert session.execution.threads_alone == 1


def test_a_model_too_large_for_a_copy_always_runs_on_all_threads(
    write_model: WriteModel,
) -> None:
    copies = SoloCopies(threads=3, memory_bytes=0)
    before = thread_ids()
    session = load_session(write_model(graphs.add_one()), SessionPlan(copies=copies))
    assert len(thread_ids() - before) == 2
    assert (session.execution.threads, session.execution.threads_alone) == (3, 3)
    copies.close()


async def test_threads_do_not_grow_with_the_number_of_models(
    write_model: WriteModel, plenty: SoloCopies
) -> None:
    pool = SessionPool(load_threads=1)
    plan = SessionPlan(copies=plenty)

    async def load(number: int) -> Session:
        folder = write_model(graphs.affine(float(number)))

        async def opened() -> Path:
            return folder

        return await pool.load(str(number), opened, plan)

    try:
        sessions = [await load(number) for number in range(2)]
        before = thread_ids()
        sessions += [await load(number) for number in range(2, 32)]
        for session in sessions:
            session.run_stoppable({"x": np.ones((1, 3), np.float32)}, None, None)
        assert thread_ids() <= before
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("wanted", "threads"), [(None, 1), (1, 1), (2, 2), (4, 4), (64, 4)]
)
def test_a_version_may_set_its_threads_within_those_there_are(
    wanted: int | None, threads: int
) -> None:
    copies = SoloCopies(threads=4, memory_bytes=1)
    plan = SessionPlans(threads=4, copies=copies).plan(threads=wanted)
    assert plan.threads == threads
    assert (plan.copies is copies) == (wanted is None)
    copies.close()


def test_one_thread_needs_no_copies() -> None:
    copies = SoloCopies(threads=1, memory_bytes=1)
    assert SessionPlans(threads=1, copies=copies).plan().copies is None
    copies.close()


def test_files_are_proved_again_before_they_are_loaded_again(
    write_model: WriteModel,
) -> None:
    asked = []

    def prove() -> None:
        asked.append(True)
        raise ArtifactCorrupt("a byte of it changed")

    copies = SoloCopies(threads=2, memory_bytes=2**30)
    plan = SessionPlan(1, copies=copies, prove=prove)
    solo = load_session(write_model(graphs.add_one()), plan)._solo
    assert solo is not None
    solo.load()
    assert asked == [True]
    assert solo.threads == 1
    copies.close()
