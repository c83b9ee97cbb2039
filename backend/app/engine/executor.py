"""Runs of loaded models: here on the event loop, or on threads."""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from app.engine.admission import Admission, Demand, Place, QueueLimits, Reason
from app.engine.dispatch import size_bucket
from app.engine.inline import InlineRunner
from app.engine.lanes import Lanes, Ticket
from app.engine.session import Session, Stop
from app.engine.timing import Timing
from app.engine.values import Tensors, Value, weigh
from app.errors import InferenceTimeout, MLForgeError, ShuttingDown

Outputs = dict[str, Value]
T = TypeVar("T")

DEFAULT_LIMITS: Final = QueueLimits()
_STOPPING: Final = "the server is shutting down; try another"


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A run on a thread, and the future of whoever waits for it."""

    answer: asyncio.Future[Outputs]
    stop: Stop
    work: Callable[[], Outputs]
    # Of those who wait for it, until it starts.
    places: Sequence[Place]

    def fail(self, error: MLForgeError) -> None:
        """Answers at once; the run ends when it notices."""
        self.stop.set()
        if not self.answer.done():
            self.answer.set_exception(error)

    def ended(self, work: Future[Outputs]) -> None:
        if self.answer.done() or work.cancelled():
            return
        error = work.exception()
        if error is None:
            self.answer.set_result(work.result())
        else:
            self.answer.set_exception(error)


@dataclass(slots=True, eq=False)
class _Work:
    """A run on its way to a thread, which it measures there."""

    session: Session
    inputs: Tensors
    outputs: Sequence[str] | None
    bucket: int
    timing: Timing
    queued_at_ns: int = field(default_factory=time.perf_counter_ns)

    def __call__(self, stop: Stop) -> Outputs:
        # This thread's own time tells the cost: the wall clock would count the wait
        # for Python's lock.
        own_s, wall_ns = time.thread_time(), time.perf_counter_ns()
        self.timing.queue_ns = wall_ns - self.queued_at_ns
        result = self.session.run_on_thread(self.inputs, self.outputs, stop)
        self.timing.compute_ns = time.perf_counter_ns() - wall_ns
        took_s = time.thread_time() - own_s
        self.session.costs.record(self.bucket, took_s, weigh(result))
        return result


class Executor:
    """Belongs to one event loop.

    `threads` runs go on at the same time; `limits` says how many more callers may
    wait, and `lanes.py` whose run is next. `on_refused` is told of each refusal.
    """

    def __init__(
        self,
        *,
        threads: int,
        limits: QueueLimits = DEFAULT_LIMITS,
        on_refused: Callable[[Reason], None] | None = None,
    ) -> None:
        self.threads = threads
        self._lanes = Lanes(threads=threads)
        self._admission = Admission(self._lanes, limits, on_refused=on_refused)
        self._threads = ThreadPoolExecutor(self._lanes.most_threads, "mlforge-run")
        self._inline = InlineRunner()
        self._runs: set[_Run] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many callers wait for a thread."""
        return self._admission.count

    @property
    def waiting_bytes(self) -> int:
        """What the inputs of those who wait for a thread take."""
        return self._admission.size_bytes

    async def run(
        self,
        session: Session,
        inputs: Tensors,
        outputs: Sequence[str] | None,
        *,
        deadline: float | None,
        timing: Timing | None = None,
        background: bool = False,
        queue_limit: int | None = None,
    ) -> Outputs:
        """The outputs named, or all, of inputs that passed `check_inputs`.

        `deadline` is an instant of `time.monotonic()`; InferenceTimeout past it.
        Overloaded when too many wait: `queue_limit` of this model, where it has a
        limit of its own. Cancelling the caller stops the run. `background` runs leave
        a thread to the others. `timing` is filled in.
        """
        timing = timing or Timing()
        result = self.run_now(session, inputs, outputs, timing)
        if result is not None:
            return result
        demand = Demand(weigh(inputs), queue_limit, time_left_s(deadline))
        places = self.places(session, demand, background=background)
        work = _Work(session, inputs, outputs, size_bucket(inputs), timing)
        return await self._run_on_thread(
            work, deadline, places=places, background=background
        )

    def run_now(
        self,
        session: Session,
        inputs: Tensors,
        outputs: Sequence[str] | None,
        timing: Timing,
    ) -> Outputs | None:
        """As `run`, right here, where the run is known to be cheap; else None."""
        bucket = size_bucket(inputs)
        if self._closed or not session.costs.is_cheap(bucket):
            return None
        return self._inline.run(session, inputs, outputs, bucket, timing)

    def admit(
        self, model: Hashable, demand: Demand, *, background: bool = False
    ) -> Place:
        """A place among those who wait, for a caller with no run here yet, since its
        model is being loaded. Overloaded if there is none."""
        if self._closed:
            raise ShuttingDown(_STOPPING)
        return self._admission.enter(model, demand, background=background)

    async def close(self) -> None:
        """Stops what runs: ShuttingDown for those who wait."""
        self._closed = True
        self._lanes.close()
        for run in list(self._runs):
            run.fail(ShuttingDown(_STOPPING))
        await asyncio.to_thread(self._stop_threads)

    def places(
        self, session: Session, demand: Demand, *, background: bool = False
    ) -> Sequence[Place]:
        """Where a run may wait: none for one that starts at once. Overloaded if there
        is no place; they must be left when it starts, or its caller goes."""
        if self._closed:
            raise ShuttingDown(_STOPPING)
        self._admission.check_clogged()
        if self._lanes.starts_at_once(session, background=background):
            return ()
        return (self._admission.enter(session, demand, background=background),)

    def enter(self, session: Session, start: Callable[[Ticket], None]) -> Ticket:
        """A turn among the runs. `start` must `launch` its run, perhaps at once."""
        return self._lanes.enter(session, start, background=False)

    def launch(
        self,
        ticket: Ticket,
        work: Callable[[], T],
        ended: Callable[[Future[T]], None],
    ) -> None:
        """Does `work` on a thread, and on the loop calls `ended` once that is free."""
        loop = asyncio.get_running_loop()
        self._threads.submit(work).add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._leave, ticket, done, ended)
        )

    def join(self, ticket: Ticket, other: Ticket) -> None:
        """This waiting run is done by `other`, whose turn it is."""
        self._lanes.join(ticket, other)

    def give_up(self, ticket: Ticket) -> None:
        """Nobody waits for this run any more."""
        self._lanes.give_up(ticket)

    async def _run_on_thread(
        self,
        work: _Work,
        deadline: float | None,
        *,
        places: Sequence[Place],
        background: bool,
    ) -> Outputs:
        loop = asyncio.get_running_loop()
        stop = Stop()
        run = _Run(loop.create_future(), stop, partial(work, stop), places)
        ticket = self._lanes.enter(
            work.session, partial(self._start, run), background=background
        )
        self._runs.add(run)
        left_s, timer = time_left_s(deadline), None
        if left_s is not None:
            timer = loop.call_later(max(left_s, 0.0), _time_out, run)
        try:
            return await run.answer
        except asyncio.CancelledError:
            run.stop.set()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._runs.discard(run)
            leave(run.places)
            self._lanes.give_up(ticket)

    def _start(self, run: _Run, ticket: Ticket) -> None:
        leave(run.places)
        self.launch(ticket, run.work, run.ended)

    def _leave(
        self, ticket: Ticket, work: Future[T], ended: Callable[[Future[T]], None]
    ) -> None:
        self._lanes.leave(ticket)
        ended(work)

    def _stop_threads(self) -> None:
        self._inline.close()
        self._threads.shutdown()


def leave(places: Sequence[Place]) -> None:
    for place in places:
        place.leave()


def time_left_s(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()


def _time_out(run: _Run) -> None:
    run.fail(ran_out())


def ran_out() -> InferenceTimeout:
    return InferenceTimeout("the inference ran past its time limit and was stopped")
