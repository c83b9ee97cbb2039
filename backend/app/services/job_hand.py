"""A piece of work that a runner has in hand."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from app.crud.chunk_leases import Counts
from app.crud.job_claims import AnyClaimed, AnyLease
from app.services.job_endings import Cancelled, Lost, Released

Interruption = Cancelled | Lost | Released


@dataclass(slots=True, eq=False)
class Hand:
    claimed: AnyClaimed
    # Set to end the run before its work is done.
    interrupted: asyncio.Future[Interruption] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    began: float = field(default_factory=monotonic)
    # How far the run is; the heartbeat tells the database.
    counts: Counts = field(default_factory=lambda: Counts(0, 0))

    def interrupt(self, ending: Interruption) -> None:
        if not self.interrupted.done():
            self.interrupted.set_result(ending)

    def note_rows(self, done: int, failed: int) -> None:
        """From any thread."""
        self.counts = Counts(done, failed)


Hands = dict[AnyLease, Hand]
