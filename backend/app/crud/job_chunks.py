"""The ledger of chunks: as plans write it, retries open it again, results read it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from app.crud.clock import database_now
from app.database import ReadSession, Session
from app.enums import ChunkStatus
from app.models.job import Job
from app.models.job_chunk import JobChunk

_LIVE = JobChunk.status.in_((ChunkStatus.QUEUED, ChunkStatus.RUNNING))


@dataclass(frozen=True, slots=True)
class NewChunk:
    start: int
    end: int
    first_line: int
    rows: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Of the chunks of a job that are done."""

    chunks: int
    rows: int
    inference_ms: float


async def replace(db: Session, job: Job, chunks: Sequence[NewChunk]) -> None:
    """Attempts go on counting, so that no part has a name that there was before."""
    mine = JobChunk.job_id == job.id
    last = await db.scalar(select(func.max(JobChunk.attempt)).where(mine))
    await db.execute(delete(JobChunk).where(mine))
    rows = [
        {
            "job_id": job.id,
            "number": number,
            "priority": job.priority,
            "created_at": job.created_at,
            "span_start": chunk.start,
            "span_end": chunk.end,
            "first_line": chunk.first_line,
            "rows": chunk.rows,
            "attempt": last or 0,
            "available_at": 0.0,
        }
        for number, chunk in enumerate(chunks)
    ]
    if rows:
        await db.execute(insert(JobChunk), rows)


async def stop_all(db: Session, job_id: str) -> None:
    """Whoever has a chunk of this job in hand can't write it any more."""
    await db.execute(
        update(JobChunk)
        .where(in_order((JobChunk.job_id == job_id) & _LIVE))
        .values(
            status=ChunkStatus.STOPPED,
            lease_owner=None,
            lease_until=None,
            rows_done=0,
            rows_failed=0,
        )
        .execution_options(synchronize_session=False)
    )


async def reopen_failed(db: Session, job_id: str) -> Tally:
    """Queues what is not done or has failed rows; tells of what stays done."""
    wanted = or_(JobChunk.status != ChunkStatus.DONE, JobChunk.rows_failed > 0)
    await db.execute(
        update(JobChunk)
        .where(in_order((JobChunk.job_id == job_id) & wanted))
        .values(
            status=ChunkStatus.QUEUED,
            tries=0,
            store_tries=0,
            lease_owner=None,
            lease_until=None,
            available_at=database_now(),
            part=None,
            rows_done=0,
            rows_failed=0,
            inference_ms=0.0,
            errors=None,
            trouble=None,
        )
        .execution_options(synchronize_session=False)
    )
    statement = select(
        func.count(),
        func.coalesce(func.sum(JobChunk.rows_done), 0),
        func.coalesce(func.sum(JobChunk.inference_ms), 0.0),
    ).where(JobChunk.job_id == job_id, JobChunk.status == ChunkStatus.DONE)
    chunks, rows, inference_ms = (await db.execute(statement)).one()
    return Tally(chunks, int(rows), float(inference_ms))


@dataclass(frozen=True, slots=True)
class ScoredJob:
    """What the finish of a job needs to know: its parts in the order of the file."""

    parts: Sequence[str]
    plain: str | None
    rows_failed: int


async def find_scored(db: ReadSession, job_id: str) -> ScoredJob:
    statement = select(Job.plain, Job.rows_failed).where(Job.id == job_id)
    job = (await db.execute(statement)).one()
    return ScoredJob(await list_parts(db, job_id), job.plain, job.rows_failed)


async def list_parts(db: ReadSession, job_id: str) -> Sequence[str]:
    """The names of the parts there are, in the order of the file."""
    statement = (
        select(JobChunk.part)
        .where(JobChunk.job_id == job_id, JobChunk.part.is_not(None))
        .order_by(JobChunk.number)
    )
    return [part for part in await db.scalars(statement) if part is not None]


def in_order(where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Locks the chunks one after the other, so that no two statements that change
    several wait for each other."""
    key = (JobChunk.job_id, JobChunk.number)
    return tuple_(*key).in_(select(*key).where(where).order_by(*key).with_for_update())
