"""How an attempt of a chunk ends. Each write passes the fence or changes nothing.

Where the job changes too its row is locked first, so that commits come one by one.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import update

from app.crud import job_chunks, jobs
from app.crud.chunk_leases import ChunkLease
from app.crud.clock import database_now
from app.crud.job_outcomes import TryAt, ended
from app.database import Session
from app.enums import ChunkStatus, JobStage, JobStatus
from app.models.job import Job
from app.models.job_chunk import JobChunk


@dataclass(frozen=True, slots=True)
class DoneChunk:
    rows: int
    failed: int
    inference_ms: float
    errors: str


async def complete(db: Session, lease: ChunkLease, done: DoneChunk) -> Job | None:
    """The job, its counters moved on and its row locked; None past the fence."""
    job = await jobs.find_locked(db, lease.job_id)
    values = {
        "status": ChunkStatus.DONE,
        "part": lease.part,
        "rows_done": done.rows,
        "rows_failed": done.failed,
        "inference_ms": done.inference_ms,
        "errors": done.errors,
        "trouble": None,
    }
    if job is None or not await _write(db, lease, values | _put_down()):
        return None
    job.rows_done += done.rows
    job.rows_failed += done.failed
    job.chunks_done += 1
    job.inference_time_ms = (job.inference_time_ms or 0.0) + done.inference_ms
    if job.chunks_done == job.chunks_total:
        job.stage = JobStage.FINISH
        job.rows_total = job.rows_done
        job.tries = 0
        job.store_tries = 0
        # A lease that ran out: whoever looks next may take the job.
        job.lease_until = 0.0
    await db.flush()
    return job


async def postpone(
    db: Session, lease: ChunkLease, *, delay_s: float, trouble: str, at: TryAt
) -> bool:
    values = _queued(delay_s)
    if at is TryAt.ROWS:
        values["trouble"] = trouble
    else:
        values["tries"] = JobChunk.tries - 1
    if at is TryAt.STORE:
        values["store_tries"] = JobChunk.store_tries + 1
    return await _write(db, lease, values)


async def release(db: Session, lease: ChunkLease) -> bool:
    """Back to the queue at once, as if this try had not been made."""
    return await _write(db, lease, _queued(0.0) | {"tries": JobChunk.tries - 1})


async def fail_job(db: Session, lease: ChunkLease, *, code: str, message: str) -> bool:
    job = await jobs.find_locked(db, lease.job_id)
    stopped = {"status": ChunkStatus.STOPPED, "rows_done": 0, "rows_failed": 0}
    if job is None or not await _write(db, lease, stopped | _put_down()):
        return False
    await end_failed(db, job, code=code, message=message)
    return True


async def end_failed(db: Session, job: Job, *, code: str, message: str) -> None:
    """Fails a job whose row is locked, and takes its chunks out of all hands."""
    values = ended(JobStatus.FAILED) | {"error_code": code, "error_message": message}
    await db.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(values)
        .execution_options(synchronize_session=False)
    )
    await job_chunks.stop_all(db, job.id)


def _queued(delay_s: float) -> dict[str, Any]:
    return _put_down() | {
        "status": ChunkStatus.QUEUED,
        "available_at": database_now() + delay_s,
        "rows_done": 0,
        "rows_failed": 0,
    }


def _put_down() -> dict[str, Any]:
    return {"lease_owner": None, "lease_until": None}


async def _write(db: Session, lease: ChunkLease, values: dict[str, Any]) -> bool:
    statement = (
        update(JobChunk)
        .where(lease.fence())
        .values(values)
        .returning(JobChunk.number)
        .execution_options(synchronize_session=False)
    )
    return (await db.execute(statement)).one_or_none() is not None
