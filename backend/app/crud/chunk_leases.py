"""Claiming and holding chunks of file jobs, as workers do. As `job_leases`."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, null, or_, select, update

from app.crud.clock import database_now
from app.crud.job_chunks import in_order
from app.crud.job_leases import Rank, is_in
from app.database import Session
from app.enums import ChunkStatus
from app.models.job import Job
from app.models.job_chunk import LIVE, JobChunk


@dataclass(frozen=True, slots=True)
class ChunkLease:
    """One worker's hold on one attempt of a chunk."""

    job_id: str
    number: int
    attempt: int
    owner: str

    def __str__(self) -> str:
        return f"chunk {self.number} of job {self.job_id}, attempt {self.attempt}"

    @property
    def part(self) -> str:
        """A name for what this attempt writes, which no other attempt has."""
        return f"{self.number:06d}-{self.attempt}-{self.owner[:8]}"

    def fence(self) -> ColumnElement[bool]:
        return and_(
            JobChunk.job_id == self.job_id,
            JobChunk.number == self.number,
            JobChunk.attempt == self.attempt,
            JobChunk.lease_owner == self.owner,
            JobChunk.status == ChunkStatus.RUNNING,
        )


@dataclass(frozen=True, slots=True)
class ClaimedChunk:
    """`trouble` is why the last try did not end; None where its worker died."""

    lease: ChunkLease
    version_id: str
    recipe: str
    plain: str
    start: int
    end: int
    first_line: int
    rows: int
    tries: int
    max_attempts: int
    trouble: str | None
    store_tries: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that this transaction keeps from the others."""

    chunk: JobChunk
    version_id: str
    recipe: str
    plain: str
    max_attempts: int

    @property
    def rank(self) -> Rank:
        return Rank(self.chunk.priority, self.chunk.created_at)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of rows, of an attempt that goes on."""

    done: int
    failed: int


async def find_next(db: Session, store: str | None = None) -> Candidate | None:
    """The most urgent chunk, in this store, that is queued or that its worker left."""
    now = database_now()
    left_behind = and_(
        JobChunk.status == ChunkStatus.RUNNING, JobChunk.lease_until < now
    )
    queued = and_(JobChunk.status == ChunkStatus.QUEUED, JobChunk.available_at <= now)
    order = (
        JobChunk.priority,
        JobChunk.created_at,
        JobChunk.job_id,
        JobChunk.number,
    )
    statement = (
        select(JobChunk, Job.version_id, Job.recipe, Job.plain, Job.max_attempts)
        .join(Job, Job.id == JobChunk.job_id)
        .where(LIVE, or_(queued, left_behind), is_in(store))
        .order_by(*order)
        .limit(1)
        .with_for_update(skip_locked=True, of=JobChunk)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        return None
    return Candidate(
        chunk=row.JobChunk,
        version_id=row.version_id,
        recipe=row.recipe or "",
        plain=row.plain or "",
        max_attempts=row.max_attempts,
    )


async def take(
    db: Session, found: Candidate, owner: str, lease_s: float
) -> ClaimedChunk:
    chunk = found.chunk
    died = JobChunk.status == ChunkStatus.RUNNING
    statement = (
        update(JobChunk)
        .where(JobChunk.job_id == chunk.job_id, JobChunk.number == chunk.number)
        .values(
            status=ChunkStatus.RUNNING,
            attempt=JobChunk.attempt + 1,
            tries=JobChunk.tries + 1,
            lease_owner=owner,
            lease_until=database_now() + lease_s,
            rows_done=0,
            rows_failed=0,
            trouble=case((died, null()), else_=JobChunk.trouble),
        )
        .returning(JobChunk.attempt, JobChunk.tries, JobChunk.trouble)
        .execution_options(synchronize_session=False)
    )
    taken = (await db.execute(statement)).one()
    return ClaimedChunk(
        lease=ChunkLease(chunk.job_id, chunk.number, taken.attempt, owner),
        version_id=found.version_id,
        recipe=found.recipe,
        plain=found.plain,
        start=chunk.span_start,
        end=chunk.span_end,
        first_line=chunk.first_line,
        rows=chunk.rows,
        tries=taken.tries,
        max_attempts=found.max_attempts,
        trouble=taken.trouble,
        store_tries=chunk.store_tries,
    )


async def renew(
    db: Session, progress: Mapping[ChunkLease, Counts], lease_s: float
) -> set[ChunkLease]:
    """Extends what is still held of these, notes how far each is, says which."""
    where = in_order(or_(*(lease.fence() for lease in progress)))
    statement = (
        update(JobChunk)
        .where(where)
        .values(
            lease_until=database_now() + lease_s,
            rows_done=_each({one: n.done for one, n in progress.items()}),
            rows_failed=_each({one: n.failed for one, n in progress.items()}),
        )
        .returning(
            JobChunk.job_id, JobChunk.number, JobChunk.attempt, JobChunk.lease_owner
        )
        .execution_options(synchronize_session=False)
    )
    rows = (await db.execute(statement)).all()
    return {
        ChunkLease(row.job_id, row.number, row.attempt, row.lease_owner or "")
        for row in rows
    }


def _each(rows: Mapping[ChunkLease, int]) -> ColumnElement[int]:
    return case(*((lease.fence(), count) for lease, count in rows.items()), else_=0)
