"""Calls of several callers done by one run, on a thread."""

import asyncio
import time
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from app.engine.admission import Place
from app.engine.batch_rows import NotByRows, Rows, split, stacked
from app.engine.dispatch import size_bucket
from app.engine.lanes import Ticket
from app.engine.session import Session, Stop
from app.engine.timing import Timing
from app.engine.values import Tensors, Value, weigh
from app.errors import MLForgeError

Outputs = dict[str, Value]
Outcome = Outputs | BaseException


@dataclass(slots=True, eq=False)
class Member:
    """One caller's call, waiting for its turn or in a batch."""

    session: Session
    inputs: Tensors
    outputs: Sequence[str] | None
    rows: Rows
    timing: Timing
    answer: asyncio.Future[Outputs]
    stop: Stop = field(default_factory=Stop)
    called_ns: int = field(default_factory=time.perf_counter_ns)
    ticket: Ticket | None = None
    # Where it waits, until its turn comes.
    places: Sequence[Place] = ()
    batch: "Batch | None" = None
    # It has an outcome, or its caller has left.
    is_done: bool = False
    # Equal for those that may be run together.
    group: Hashable = field(init=False)

    def __post_init__(self) -> None:
        outputs = None if self.outputs is None else tuple(self.outputs)
        self.group = (self.session, outputs, self.rows.kind)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True, eq=False)
class Batch:
    """Its members' calls, done together; one by one where together fails.

    Called on a thread; all else belongs to the event loop.
    """

    ticket: Ticket
    members: list[Member]
    stop: Stop = field(default_factory=Stop)
    # How many members are not done.
    waiting: int = field(init=False)
    # 0 unless outputs came of it.
    took_s: float = 0.0
    is_by_rows: bool = True

    def __post_init__(self) -> None:
        self.waiting = len(self.members)

    @property
    def rows(self) -> int:
        return sum(member.rows.count for member in self.members)

    def __call__(self) -> None:
        started_ns = time.perf_counter_ns()
        if self._run_together() or self._run_one_by_one():
            self.took_s = (time.perf_counter_ns() - started_ns) / 1e9

    def leave(self, member: Member) -> bool:
        """One caller less. Whether it was the last, so that the run is stopped."""
        member.is_done = True
        member.stop.set()
        self.waiting -= 1
        if self.waiting:
            return False
        self.stop.set()
        return True

    def settle(self, outcomes: Iterable[tuple[Member, Outcome]]) -> None:
        """Answers those whose callers are still there; one of them leads."""
        leads = True
        for member, outcome in outcomes:
            if member.is_done:
                continue
            member.is_done = True
            self.waiting -= 1
            if isinstance(outcome, BaseException):
                member.fail(outcome)
            elif not member.answer.done():
                member.timing.leads, leads = leads, False
                member.answer.set_result(outcome)

    def _tell(self, outcomes: list[tuple[Member, Outcome]]) -> None:
        loop = self.members[0].answer.get_loop()
        loop.call_soon_threadsafe(self.settle, outcomes)

    def _run_together(self) -> bool:
        """False where each has yet to be run alone."""
        if len(self.members) == 1:
            return False
        first, clock = self.members[0], _Clock(self.rows)
        try:
            inputs = stacked([member.inputs for member in self.members])
            whole = first.session.run_stoppable(inputs, first.outputs, self.stop)
            parts = split(whole, [member.rows.count for member in self.members])
        except NotByRows:
            self.is_by_rows = False
            return False
        except (MLForgeError, MemoryError):
            return False
        # One of them alone takes less: a bound that may prove it cheap.
        _record(first, clock, whole)
        for member in self.members:
            clock.note(member)
        self._tell(list(zip(self.members, parts, strict=True)))
        return True

    def _run_one_by_one(self) -> bool:
        """Whether any gave outputs."""
        successes = 0
        for member in self.members:
            if not member.is_done:
                successes += self._run_alone(member)
        return successes > 0

    def _run_alone(self, member: Member) -> bool:
        clock = _Clock(member.rows.count)
        try:
            outputs = member.session.run_on_thread(
                member.inputs, member.outputs, member.stop
            )
        except MLForgeError as error:
            self._tell([(member, error)])
            return False
        _record(member, clock, outputs)
        clock.note(member)
        self._tell([(member, outputs)])
        return True


class _Clock:
    """When a run of so many rows began, on this thread."""

    __slots__ = ("_rows", "_started_ns", "_thread_s")

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._started_ns = time.perf_counter_ns()
        self._thread_s = time.thread_time()

    def own_s(self) -> float:
        return time.thread_time() - self._thread_s

    def note(self, member: Member) -> None:
        timing = member.timing
        timing.queue_ns = self._started_ns - member.called_ns
        timing.compute_ns = time.perf_counter_ns() - self._started_ns
        timing.batch_rows = self._rows


def _record(member: Member, clock: _Clock, outputs: Outputs) -> None:
    bucket = size_bucket(member.inputs)
    member.session.costs.record(bucket, clock.own_s(), weigh(outputs))
