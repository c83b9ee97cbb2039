"""Putting ended jobs back to work."""

from typing import Any

from sqlalchemy import update

from app.crud import job_chunks
from app.crud.clock import database_now
from app.database import Session
from app.enums import JobKind, JobStage, JobStatus
from app.models.job import Job


async def requeue(db: Session, job: Job) -> None:
    """Puts an ended job back in the queue, as fresh as on its first day."""
    stage = None if job.kind is JobKind.PREDICTION else JobStage.PLAN
    await _restart(db, job, {"status": JobStatus.QUEUED, "stage": stage})


async def requeue_failed(db: Session, job: Job) -> None:
    """Has the chunks of a file job that are not done, or have failed rows, done
    again, and the result made anew; what is done stays."""
    if job.stage is JobStage.PLAN:
        await requeue(db, job)
        return
    kept = await job_chunks.reopen_failed(db, job.id)
    is_scored = kept.chunks == job.chunks_total
    values = {
        "status": JobStatus.RUNNING,
        "stage": JobStage.FINISH if is_scored else JobStage.SCORE,
        # To be taken at once, if there is nothing but the finish to do.
        "lease_until": 0.0 if is_scored else None,
        "started_at": database_now(),
        "chunks_done": kept.chunks,
        "rows_done": kept.rows,
        "inference_time_ms": kept.inference_ms,
    }
    await _restart(db, job, values)


async def _restart(db: Session, job: Job, values: dict[str, Any]) -> None:
    fresh = {
        "tries": 0,
        "store_tries": 0,
        "retries": Job.retries + 1,
        "cancel_requested": False,
        "lease_owner": None,
        "lease_until": None,
        "available_at": database_now(),
        "error_code": None,
        "error_message": None,
        "result": None,
        "result_media_type": None,
        "result_files": None,
        "error_sample": None,
        "rows_done": 0,
        "rows_failed": 0,
        "chunks_done": 0,
        "queue_time_ms": None,
        "inference_time_ms": None,
        "started_at": None,
        "completed_at": None,
        "webhook_due_at": None,
    }
    await db.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(fresh | values)
        .execution_options(synchronize_session=False)
    )
    await db.refresh(job)
