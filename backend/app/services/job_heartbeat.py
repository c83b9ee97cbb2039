"""Keeps the leases of the work in hand, and notices when some must stop."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from app.crud import chunk_leases, job_leases
from app.crud.chunk_leases import ChunkLease, Counts
from app.crud.job_leases import Held, Lease
from app.database import Database
from app.errors import DatabaseUnavailable, InsufficientStorage
from app.services.job_endings import Cancelled, Lost
from app.services.job_hand import Hand, Hands

logger = logging.getLogger(__name__)

# A cancelled job ends within two seconds: one to notice, one to stop and write.
LOOK_EVERY_S = 1.0
# What passes by itself: everything goes on when the database does.
DATABASE_TROUBLE = (DatabaseUnavailable, InsufficientStorage)


class Heartbeat:
    """One query for all jobs in hand and one for all chunks, every second or
    oftener, until `stop`."""

    def __init__(
        self, database: Database, hands: Hands, *, owner: str, lease_s: float
    ) -> None:
        self._database = database
        self._hands = hands
        self._owner = owner
        self._lease_s = lease_s
        self._renew_at = 0.0
        self._stop = asyncio.Event()

    async def run(self) -> None:
        every_s = min(LOOK_EVERY_S, self._lease_s / 3)
        while not await self._stopped_within(every_s):
            try:
                await self._beat()
            except DATABASE_TROUBLE as error:
                logger.warning("the leases of jobs wait: %s", error.detail)

    def stop(self) -> None:
        self._stop.set()

    async def _stopped_within(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._stop.wait()
        return self._stop.is_set()

    async def _beat(self) -> None:
        jobs: dict[Lease, Hand] = {}
        chunks: dict[ChunkLease, Hand] = {}
        for lease, hand in self._hands.items():
            if isinstance(lease, ChunkLease):
                chunks[lease] = hand
            else:
                jobs[lease] = hand
        if chunks:
            await self._beat_chunks(chunks)
        if jobs:
            await self._beat_jobs(jobs)

    async def _beat_chunks(self, hands: Mapping[ChunkLease, Hand]) -> None:
        """A write each time: how far the rows are goes with the lease."""
        progress: dict[ChunkLease, Counts] = {
            lease: hand.counts for lease, hand in hands.items()
        }
        async with self._database.transaction() as db:
            held = await chunk_leases.renew(db, progress, self._lease_s)
        for lease, hand in hands.items():
            if lease not in held:
                hand.interrupt(Lost())

    async def _beat_jobs(self, hands: Mapping[Lease, Hand]) -> None:
        job_ids = [lease.job_id for lease in hands]
        held = await (self._renew(job_ids) if self._is_due() else self._look(job_ids))
        for lease, hand in hands.items():
            _follow(lease, hand, held)

    def _is_due(self) -> bool:
        # A job claimed since the last renewal waits a third of its lease at most.
        return monotonic() >= self._renew_at

    async def _renew(self, job_ids: Sequence[str]) -> Mapping[str, Held]:
        async with self._database.transaction() as db:
            held = await job_leases.renew(db, self._owner, job_ids, self._lease_s)
        self._renew_at = monotonic() + self._lease_s / 3
        return held

    async def _look(self, job_ids: Sequence[str]) -> Mapping[str, Held]:
        async with self._database.reading() as db:
            return await job_leases.list_held(db, self._owner, job_ids)


def _follow(lease: Lease, hand: Hand, held: Mapping[str, Held]) -> None:
    now = held.get(lease.job_id)
    if now is None or now.attempt != lease.attempt:
        hand.interrupt(Lost())
    elif now.cancel_requested:
        hand.interrupt(Cancelled(lease))
