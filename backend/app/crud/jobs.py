"""Reading and steering jobs, as callers do. Running them: `job_leases`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.crud import job_chunks
from app.crud.clock import database_now
from app.crud.job_outcomes import ended
from app.database import ReadSession, Session
from app.enums import FileFormat, JobKind, JobStage, JobStatus
from app.models.job import Job


@dataclass(frozen=True, slots=True)
class NewJob:
    version_id: str
    model_name: str
    model_version: str
    payload: bytes
    priority: int
    max_attempts: int
    rows_total: int
    idempotency_key: str | None = None
    fingerprint: str | None = None
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class NewFile:
    """What a file job's row has beside a prediction's."""

    job_id: str
    recipe: str
    options: str
    format: FileFormat
    result_format: FileFormat
    input_bytes: int
    input_sha256: str
    input_name: str
    store: str
    webhook: str | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    status: JobStatus | None = None
    kind: JobKind | None = None
    version_id: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    # A regular expression that the model's name matches.
    names: str | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        wanted = (
            (Job.status, self.status),
            (Job.kind, self.kind),
            (Job.version_id, self.version_id),
            (Job.model_name, self.model_name),
            (Job.model_version, self.model_version),
        )
        found = [column == value for column, value in wanted if value is not None]
        if self.names is not None:
            found.append(Job.model_name.regexp_match(self.names))
        return found


@dataclass(frozen=True, slots=True)
class StoredResult:
    body: bytes
    media_type: str


async def add(db: Session, new: NewJob) -> Job | None:
    """None where there is a job with this idempotency key already."""
    return await _add(db, new, {})


async def add_file(db: Session, new: NewJob, file: NewFile) -> Job | None:
    """None where there is a job with this idempotency key already."""
    values = {
        "id": file.job_id,
        "kind": JobKind.FILE,
        "stage": JobStage.PLAN,
        "recipe": file.recipe,
        "options": file.options,
        "format": file.format,
        "result_format": file.result_format,
        "input_bytes": file.input_bytes,
        "input_sha256": file.input_sha256,
        "input_name": file.input_name,
        "store": file.store,
        "webhook": file.webhook,
    }
    return await _add(db, new, values)


async def _add(db: Session, new: NewJob, more: dict[str, Any]) -> Job | None:
    values = {
        "version_id": new.version_id,
        "model_name": new.model_name,
        "model_version": new.model_version,
        "status": JobStatus.QUEUED,
        "priority": new.priority,
        "payload": new.payload,
        "max_attempts": new.max_attempts,
        "rows_total": new.rows_total,
        "idempotency_key": new.idempotency_key,
        "fingerprint": new.fingerprint,
        "created_by": new.created_by,
        "available_at": database_now(),
        "created_at": database_now(),
    }
    statement = insert(Job).values(values | more).returning(Job.id)
    try:
        async with db.begin_nested():
            job_id = (await db.execute(statement)).scalar_one()
    except IntegrityError:
        if new.idempotency_key is None:
            raise
        return None
    return await db.get_one(Job, job_id)


async def find(db: ReadSession, job_id: str) -> Job | None:
    return await db.get(Job, job_id)


async def find_by_key(db: ReadSession, key: str) -> Job | None:
    found = await db.scalars(select(Job).where(Job.idempotency_key == key))
    return found.one_or_none()


async def find_recipe(db: ReadSession, job_id: str) -> str | None:
    """None where there is no such job, or it is no file job."""
    found = await db.scalars(select(Job.recipe).where(Job.id == job_id))
    return found.one_or_none()


async def find_result(db: ReadSession, job_id: str) -> StoredResult | None:
    columns = select(Job.result, Job.result_media_type).where(Job.id == job_id)
    row = (await db.execute(columns)).one_or_none()
    if row is None or row.result is None or row.result_media_type is None:
        return None
    return StoredResult(row.result, row.result_media_type)


async def list_jobs(
    db: ReadSession, wanted: JobFilter, *, offset: int, limit: int
) -> Sequence[Job]:
    statement = (
        select(Job)
        .where(*wanted.clauses())
        .order_by(Job.created_at.desc(), Job.id)
        .offset(offset)
        .limit(limit)
    )
    return (await db.scalars(statement)).all()


async def count(db: ReadSession, wanted: JobFilter) -> int:
    statement = select(func.count()).select_from(Job).where(*wanted.clauses())
    return (await db.execute(statement)).scalar_one()


async def find_locked(db: Session, job_id: str) -> Job | None:
    """The job, kept from changing until the transaction ends."""
    return await db.get(Job, job_id, with_for_update=True)


async def cancel(db: Session, job: Job) -> bool:
    """Ends the job where nobody holds it (True), else asks its worker to."""
    nobody_has_it = or_(
        Job.status == JobStatus.QUEUED,
        Job.lease_until < database_now(),
        # Its chunks are in hand, not the job: stopping them is enough.
        Job.stage == JobStage.SCORE,
    )
    written = await db.execute(
        update(Job)
        .where(Job.id == job.id, nobody_has_it)
        .values(ended(JobStatus.CANCELLED) | {"cancel_requested": True})
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    has_ended = written.scalar_one_or_none() is not None
    if has_ended:
        await job_chunks.stop_all(db, job.id)
    else:
        job.cancel_requested = True
        await db.flush()
    await db.refresh(job)
    return has_ended


async def remove(db: Session, job: Job) -> None:
    await db.execute(delete(Job).where(Job.id == job.id))
