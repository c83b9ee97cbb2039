"""Finding the job that a caller names."""

from typing import Final
from uuid import UUID

from app.crud import jobs as crud
from app.database import ReadSession, Session
from app.errors import InvalidField, JobNotFound, StateForbids
from app.models.job import Job

_SHOWN: Final = 80


async def get_job(db: ReadSession, job_id: str) -> Job:
    job = await crud.find(db, normal_id(job_id))
    if job is None:
        raise job_not_found(job_id)
    return job


async def get_locked(db: Session, job_id: str) -> Job:
    job = await crud.find_locked(db, normal_id(job_id))
    if job is None:
        raise job_not_found(job_id)
    return job


async def find_by_key(db: ReadSession, key: str, fingerprint: str) -> Job | None:
    """The job that was submitted under this key; raises InvalidField where the
    fingerprint is another."""
    job = await crud.find_by_key(db, key)
    if job is not None and job.fingerprint != fingerprint:
        raise InvalidField(
            f"Idempotency-Key: this one was used for another request, job {job.id}; send "
            "each request under a key of its own"
        )
    return job


async def get_by_key(db: ReadSession, key: str | None, fingerprint: str | None) -> Job:
    """The job that came in between; raises StateForbids where it is gone already."""
    job = await find_by_key(db, key or "", fingerprint or "")
    if job is None:
        raise StateForbids(
            "the job that was submitted under this Idempotency-Key has just been "
            "deleted; send the request again"
        )
    return job


def normal_id(job_id: str) -> str:
    """The one spelling of an id; what is no id names no job."""
    try:
        return str(UUID(job_id))
    except ValueError as error:
        raise job_not_found(job_id) from error


def job_not_found(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"there is no job {job_id[:_SHOWN]!r}; GET /api/v1/jobs lists the jobs there are"
    )
