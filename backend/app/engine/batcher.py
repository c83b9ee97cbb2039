"""Runs calls that wait for the same model together, where that pays.

Nothing is held back: a call that finds a thread free runs at once, alone. Each call
has a place of its own among the runs; when its turn comes, it takes along those of
its kind that wait behind it. So there is no timer, the order and the limits are those
of single runs, and a batch is only as large as the wait made it.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Literal, TypeAlias

from app.engine.admission import Demand
from app.engine.batch import Batch, Member, Outputs
from app.engine.batch_rows import rows_of
from app.engine.executor import Executor, leave, ran_out, time_left_s
from app.engine.lanes import Ticket
from app.engine.session import Session
from app.engine.timing import Timing
from app.engine.values import Tensors
from app.errors import ShuttingDown

_log = logging.getLogger(__name__)

# `auto` batches as far as it was measured to pay, `on` as far as there are rows.
Batching: TypeAlias = Literal["auto", "on", "off"]
# Inputs of one batch, which are copied together.
_MOST_BYTES = 32 * 1024 * 1024


class Batcher:
    """Belongs to one event loop, as the executor does that it closes before."""

    def __init__(self, executor: Executor, *, max_rows: int) -> None:
        self._executor = executor
        self._max_rows = max_rows
        # Those who wait for their turn, by what can be run together, in order.
        self._groups: dict[Hashable, dict[Member, None]] = {}
        self._members: set[Member] = set()
        self._closed = False

    async def run(
        self,
        session: Session,
        inputs: Tensors,
        outputs: Sequence[str] | None,
        *,
        deadline: float | None,
        timing: Timing | None = None,
        batching: Batching = "auto",
        queue_limit: int | None = None,
    ) -> Outputs:
        """As `Executor.run`, of a model whose rows were proved to be independent."""
        timing = timing or Timing()
        run_alone = partial(
            self._executor.run,
            session,
            inputs,
            outputs,
            deadline=deadline,
            queue_limit=queue_limit,
        )
        if batching == "off" or self._max_rows == 1 or session.gains.is_refused:
            return await run_alone(timing=timing)
        result = self._executor.run_now(session, inputs, outputs, timing)
        if result is not None:
            return result
        rows = rows_of(inputs)
        if rows is None:
            return await run_alone(timing=timing)
        answer = asyncio.get_running_loop().create_future()
        member = Member(session, inputs, outputs, rows, timing, answer)
        # How long the queue will take is known of single runs, and not of batches.
        demand = Demand(rows.size_bytes, queue_limit)
        is_measured = batching == "auto"
        return await self._answer(member, demand, deadline, is_measured=is_measured)

    async def close(self) -> None:
        """Stops what runs: ShuttingDown for those who wait. The executor goes after."""
        self._closed = True
        # Those who wait go first, lest one of them gets the place of one that ran.
        for member in sorted(self._members, key=lambda each: each.batch is not None):
            member.fail(ShuttingDown("the server is shutting down; try another"))
            self._leave(member)

    async def _answer(
        self,
        member: Member,
        demand: Demand,
        deadline: float | None,
        *,
        is_measured: bool,
    ) -> Outputs:
        if self._closed:
            raise ShuttingDown("the server is shutting down; try another")
        member.places = self._executor.places(member.session, demand)
        start = partial(self._start, member, is_measured=is_measured)
        member.ticket = self._executor.enter(member.session, start)
        self._members.add(member)
        if member.batch is None:
            self._groups.setdefault(member.group, {})[member] = None
        timer = _set_timer(member, deadline, self._time_out)
        try:
            return await member.answer
        finally:
            if timer is not None:
                timer.cancel()
            self._leave(member)

    def _time_out(self, member: Member) -> None:
        member.fail(ran_out())
        self._leave(member)

    def _start(self, member: Member, ticket: Ticket, *, is_measured: bool) -> None:
        members = [member]
        has_waited = member.ticket is not None
        if has_waited:
            members += self._mates(member, ticket, is_measured=is_measured)
        batch = Batch(ticket, members)
        for each in members:
            if each is not member and each.ticket is not None:
                self._executor.join(each.ticket, ticket)
            self._forget(each)
            each.batch = batch
        ended = partial(self._ended, batch, has_waited=has_waited)
        self._executor.launch(ticket, batch, ended)

    def _mates(
        self, member: Member, ticket: Ticket, *, is_measured: bool
    ) -> list[Member]:
        """Who goes along: no more than this thread's share of those who wait."""
        gains = member.session.gains
        share = -(-(len(ticket.lane.waiting) + 1) // self._executor.threads)
        if share == 1 or gains.is_refused:
            return []
        behind = (each for each in self._groups[member.group] if each is not member)
        there = (each for each in behind if not each.answer.done())
        waiting = list(islice(there, share - 1))
        most = self._max_rows
        if waiting and is_measured:
            rows = member.rows.count + sum(each.rows.count for each in waiting)
            most = gains.choose(member.rows.row_bytes, min(rows, most))
        return list(_fitting(member, waiting, most))

    def _ended(self, batch: Batch, work: Future[None], *, has_waited: bool) -> None:
        error = work.exception()
        if error is not None:
            batch.settle((member, error) for member in batch.members)
            return
        first = batch.members[0]
        gains = first.session.gains
        if not batch.is_by_rows and not gains.is_refused:
            gains.refuse()
            _log.warning(
                "a model that was taken for batchable gave %d rows of input another "
                "number of rows of output; its calls are run one by one from now on",
                batch.rows,
            )
        elif has_waited and batch.took_s:
            gains.record(first.rows.row_bytes, batch.rows, batch.took_s)

    def _leave(self, member: Member) -> None:
        """Its caller waits no more. Nothing if that is known."""
        self._members.discard(member)
        if member.batch is None:
            self._forget(member)
            if member.ticket is not None:
                self._executor.give_up(member.ticket)
        elif not member.is_done and member.batch.leave(member):
            self._executor.give_up(member.batch.ticket)
        # They lead back to it: nothing must wait for the garbage collector.
        member.ticket = member.batch = None

    def _forget(self, member: Member) -> None:
        """It waits for no turn any more."""
        leave(member.places)
        group = self._groups.get(member.group, {})
        group.pop(member, None)
        if not group:
            self._groups.pop(member.group, None)


def _set_timer(
    member: Member, deadline: float | None, time_out: Callable[[Member], None]
) -> asyncio.TimerHandle | None:
    left_s = time_left_s(deadline)
    if left_s is None:
        return None
    return member.answer.get_loop().call_later(max(left_s, 0.0), time_out, member)


def _fitting(first: Member, waiting: Iterable[Member], rows: int) -> Iterator[Member]:
    """Of those waiting, in order, whom a batch of so many rows has room for."""
    rows -= first.rows.count
    room_bytes = _MOST_BYTES - first.rows.size_bytes
    for member in waiting:
        if member.rows.count <= rows and member.rows.size_bytes <= room_bytes:
            rows -= member.rows.count
            room_bytes -= member.rows.size_bytes
            yield member
