"""How an attempt at a piece of work ends: what is written, and what that means."""

from collections.abc import Awaitable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from app.crud import chunk_outcomes, job_outcomes
from app.crud.chunk_leases import ChunkLease
from app.crud.job_claims import AnyLease
from app.crud.job_leases import Lease
from app.crud.job_outcomes import TryAt
from app.database import Session

JSON = "application/json"


class Wrote(Enum):
    """`NOTHING` where another worker has the piece now."""

    NOTHING = "nothing"
    PIECE = "piece"
    JOB_ENDED = "job ended"


class Ending(Protocol):
    async def write(self, db: Session) -> Wrote: ...


@dataclass(frozen=True, slots=True)
class Completed:
    lease: Lease
    body: bytes
    took_ms: float

    async def write(self, db: Session) -> Wrote:
        writing = job_outcomes.complete(
            db, self.lease, body=self.body, media_type=JSON, took_ms=self.took_ms
        )
        return await ends_job(writing)


@dataclass(frozen=True, slots=True)
class Failed:
    """The job's end, also where it is a chunk that is in hand."""

    lease: AnyLease
    code: str
    message: str

    async def write(self, db: Session) -> Wrote:
        code, message = self.code, self.message
        if isinstance(self.lease, ChunkLease):
            writing = chunk_outcomes.fail_job(
                db, self.lease, code=code, message=message
            )
        else:
            writing = job_outcomes.fail(db, self.lease, code=code, message=message)
        return await ends_job(writing)


@dataclass(frozen=True, slots=True)
class Postponed:
    lease: AnyLease
    delay_s: float
    code: str
    message: str
    at: TryAt = TryAt.ROWS
    # The worker had better leave files alone for a while.
    pauses: bool = False

    async def write(self, db: Session) -> Wrote:
        if isinstance(self.lease, ChunkLease):
            writing = chunk_outcomes.postpone(
                db,
                self.lease,
                delay_s=self.delay_s,
                trouble=self.message,
                at=self.at,
            )
        else:
            writing = job_outcomes.postpone(
                db,
                self.lease,
                delay_s=self.delay_s,
                code=self.code,
                message=self.message,
                at=self.at,
            )
        return await ends_piece(writing)


@dataclass(frozen=True, slots=True)
class Cancelled:
    lease: Lease

    async def write(self, db: Session) -> Wrote:
        return await ends_job(job_outcomes.end_cancelled(db, self.lease))


@dataclass(frozen=True, slots=True)
class Released:
    lease: AnyLease

    async def write(self, db: Session) -> Wrote:
        if isinstance(self.lease, ChunkLease):
            writing = chunk_outcomes.release(db, self.lease)
        else:
            writing = job_outcomes.release(db, self.lease)
        return await ends_piece(writing)


@dataclass(frozen=True, slots=True)
class Lost:
    """Another worker has the piece now, or its job has ended."""

    async def write(self, db: Session) -> Wrote:
        return Wrote.NOTHING


async def ends_job(writing: Awaitable[bool]) -> Wrote:
    return Wrote.JOB_ENDED if await writing else Wrote.NOTHING


async def ends_piece(writing: Awaitable[bool]) -> Wrote:
    return Wrote.PIECE if await writing else Wrote.NOTHING
