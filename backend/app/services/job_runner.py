"""Runs jobs: claims pieces of work, has them done, writes how they end.

The same runner works inside the server and in worker processes. Bells only make
it look sooner; what it missed it finds by looking every `sweep_s`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from app.crud import job_claims, job_outcomes
from app.crud.chunk_leases import ChunkLease
from app.crud.job_claims import AnyClaimed
from app.database import Database
from app.enums import JobKind
from app.services.job_endings import Ending, Postponed, Released, Wrote
from app.services.job_hand import Hand, Hands
from app.services.job_heartbeat import DATABASE_TROUBLE, Heartbeat
from app.services.job_store import StoreSight
from app.services.job_verdicts import judge

logger = logging.getLogger(__name__)

# Does the work in hand; what it raises is judged.
Perform = Callable[[Hand], Coroutine[Any, Any, Ending]]

LET_GO_S = 3.0
DATABASE_PAUSE_S = 0.5
# While there are chunks for others they are told this often.
CALL_OTHERS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    concurrency: int = 2
    lease_s: float = 30.0
    sweep_s: float = 5.0
    backoff_s: float = 1.0
    grace_s: float = 8.0
    # Until a piece is tried again that the store of files ended.
    store_s: float = 5.0


def _nobody_waits(_: str) -> None:
    return


def _nobody_looks() -> None:
    return


async def _nobody_hears(_: str) -> None:
    return


class Meter(Protocol):
    def began(self, hand: Hand) -> None: ...

    def ended(self, ending: Ending, wrote: Wrote, took_s: float) -> None: ...


class Unmetered:
    def began(self, _: Hand) -> None:
        return

    def ended(self, *_: object) -> None:
        return


class JobRunner:
    """`run` until `stop`, once; `wake` and `stop` from the event loop's thread only."""

    def __init__(
        self,
        database: Database,
        perform: Perform,
        limits: RunnerLimits,
        *,
        ended: Callable[[str], None] = _nobody_waits,
        ring: Callable[[str], Awaitable[None]] = _nobody_hears,
        meter: Meter | None = None,
        only: JobKind | None = None,
        sight: StoreSight | None = None,
    ) -> None:
        self._database = database
        self._perform = perform
        self._limits = limits
        self._ended = ended
        self._ring = ring
        self._only = only
        self._sight = sight
        self._meter = meter or Unmetered()
        self._ring_at = 0.0
        self.owner = uuid4().hex
        self._hands: Hands = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()
        self._stopping = False
        self._sweep_at = 0.0
        self._heartbeat = Heartbeat(
            database, self._hands, owner=self.owner, lease_s=limits.lease_s
        )

    def wake(self) -> None:
        self._wakeup.set()

    def is_idle(self) -> bool:
        return not self._tasks

    def is_well(self) -> bool:
        """Whether it can work on the files of all jobs that wait."""
        return self._sight is None or self._sight.is_well

    def is_full(self) -> bool:
        return len(self._tasks) >= self._limits.concurrency

    def stop(self) -> None:
        """Claims no more; `run` ends once the jobs in hand have, or after the grace."""
        self._stopping = True
        self._wakeup.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run(), name="job-runner")
        try:
            yield
        finally:
            self.stop()
            await task

    async def run(self, looks: Callable[[], None] = _nobody_looks) -> None:
        """`looks` is called at each look for jobs, every `sweep_s` at least."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeat.run())
            try:
                await self._claim_until_stopped(looks)
                await self._wait_for_hands(self._limits.grace_s)
            finally:
                await self._let_go()
                self._heartbeat.stop()

    async def _claim_until_stopped(self, looks: Callable[[], None]) -> None:
        while not self._stopping:
            looks()
            self._wakeup.clear()
            try:
                await self._sweep()
                await self._fill_hands()
            except DATABASE_TROUBLE as error:
                logger.warning("looking for jobs failed: %s", error.detail)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.sweep_s):
                    await self._wakeup.wait()

    async def _sweep(self) -> None:
        if monotonic() < self._sweep_at:
            return
        async with self._database.transaction() as db:
            buried = await job_outcomes.bury(db)
        if self._sight is not None:
            await self._sight.look()
        self._sweep_at = monotonic() + self._limits.sweep_s
        for job_id in buried:
            logger.error("job %s ended: its worker is gone", job_id)
            self._ended(job_id)

    async def _fill_hands(self) -> None:
        while not self._stopping and not self.is_full():
            store = await self._sight.store() if self._sight else None
            async with self._database.transaction() as db:
                claimed = await job_claims.claim(
                    db,
                    self.owner,
                    self._limits.lease_s,
                    only=self._only,
                    store=store,
                )
            if claimed is None:
                return
            self._start(claimed)

    def _start(self, claimed: AnyClaimed) -> None:
        hand = Hand(claimed)
        self._hands[claimed.lease] = hand
        task = asyncio.create_task(self._run(hand), name=f"job-{claimed.lease.job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._put_down)

    def _put_down(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wakeup.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s is left to its lease", task.get_name(), exc_info=error)

    async def _run(self, hand: Hand) -> None:
        lease = hand.claimed.lease
        self._meter.began(hand)
        work = asyncio.create_task(self._perform(hand))
        try:
            if isinstance(lease, ChunkLease):
                await self._call_others(lease.job_id)
            ending = await self._await_ending(hand, work)
            work.cancel()
            await self._settle(hand, ending)
        finally:
            await _abandon(work)
            del self._hands[lease]

    async def _call_others(self, job_id: str) -> None:
        """One ring wakes one worker: whoever has all it can do wakes the next."""
        if self.is_full() and monotonic() >= self._ring_at:
            self._ring_at = monotonic() + CALL_OTHERS_EVERY_S
            await self._ring(job_id)

    async def _await_ending(self, hand: Hand, work: asyncio.Task[Ending]) -> Ending:
        either: set[asyncio.Future[Any]] = {work, hand.interrupted}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return hand.interrupted.result()
        ending = judge(
            work,
            hand.claimed,
            backoff_s=self._limits.backoff_s,
            store_s=self._limits.store_s,
        )
        if self._sight and isinstance(ending, Postponed) and ending.pauses:
            self._sight.pause(ending.message)
        return ending

    async def _settle(self, hand: Hand, ending: Ending) -> None:
        """Writes the ending, however long the database is away within the lease."""
        wrote = await self._write(ending)
        self._meter.ended(ending, wrote, monotonic() - hand.began)
        lease = hand.claimed.lease
        if wrote is Wrote.NOTHING:
            logger.warning("%s is no longer ours: nothing was written", lease)
        elif wrote is Wrote.JOB_ENDED:
            self._ended(lease.job_id)
        elif isinstance(ending, Postponed):
            asyncio.get_running_loop().call_later(ending.delay_s, self.wake)

    async def _write(self, ending: Ending) -> Wrote:
        give_up_at = monotonic() + self._limits.lease_s
        while True:
            try:
                async with self._database.transaction() as db:
                    return await ending.write(db)
            except DATABASE_TROUBLE:
                if monotonic() > give_up_at:
                    raise
                await asyncio.sleep(DATABASE_PAUSE_S)

    async def _wait_for_hands(self, timeout_s: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def _let_go(self) -> None:
        for hand in self._hands.values():
            hand.interrupt(Released(hand.claimed.lease))
        await self._wait_for_hands(LET_GO_S)
        for task in self._tasks:
            task.cancel()
        await self._wait_for_hands(LET_GO_S)


async def _abandon(work: asyncio.Task[Ending]) -> None:
    """Cancels, and waits so that a slot is free only when its work has stopped."""
    work.cancel()
    await asyncio.wait({work}, timeout=LET_GO_S)
    if work.done() and not work.cancelled():
        work.exception()  # Looked at, or asyncio reports it as overlooked.
