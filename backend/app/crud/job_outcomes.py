"""How an attempt of a job ends. Each write passes the fence or changes nothing."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    case,
    cast,
    literal,
    null,
    or_,
    select,
    update,
)

from app.crud.clock import database_now
from app.crud.job_leases import Lease
from app.database import Session
from app.enums import JobStatus
from app.models.job import LIVE, Job


class TryAt(Enum):
    """What a try that did not end is one too many for: none but `ROWS` uses up one
    of the few there are, `STORE` one of many."""

    ROWS = "rows"
    STORE = "store"
    MACHINE = "machine"


# The SET list of an UPDATE: plain values and SQL expressions by column.
Values = dict[str, Any]


async def complete(
    db: Session, lease: Lease, *, body: bytes, media_type: str, took_ms: float
) -> bool:
    return await _settle(
        db,
        lease,
        ended(JobStatus.COMPLETED)
        | {
            "result": body,
            "result_media_type": media_type,
            "inference_time_ms": took_ms,
            "rows_done": Job.rows_total,
            "error_code": None,
            "error_message": None,
        },
    )


async def complete_file(
    db: Session, lease: Lease, *, files: str, media_type: str
) -> bool:
    """The one moment at which the result of a file job is there."""
    result = {
        "result_files": files,
        "result_media_type": media_type,
        "error_code": None,
        "error_message": None,
    }
    return await _settle(db, lease, ended(JobStatus.COMPLETED) | result)


async def fail(db: Session, lease: Lease, *, code: str, message: str) -> bool:
    error = {"error_code": code, "error_message": message}
    return await _settle(db, lease, ended(JobStatus.FAILED) | error)


async def end_cancelled(db: Session, lease: Lease) -> bool:
    return await _settle(db, lease, ended(JobStatus.CANCELLED))


async def postpone(
    db: Session,
    lease: Lease,
    *,
    delay_s: float,
    code: str,
    message: str,
    at: TryAt = TryAt.ROWS,
) -> bool:
    """Back to the queue for a later try."""
    error = {"error_code": code, "error_message": message}
    return await _settle(db, lease, _queued(delay_s) | error | _tried(at))


async def release(db: Session, lease: Lease) -> bool:
    """Back to the queue at once, as if this try had not been made."""
    return await _settle(db, lease, _queued(0.0) | {"tries": Job.tries - 1})


async def bury(db: Session) -> Sequence[str]:
    """Ends jobs whose worker is gone and that nobody may take again."""
    gone = (
        select(Job.id)
        .where(
            LIVE,
            Job.status == JobStatus.RUNNING,
            Job.lease_until < database_now(),
            or_(Job.tries >= Job.max_attempts, Job.cancel_requested.is_(True)),
        )
        .with_for_update(skip_locked=True)
    )
    died = (
        literal("the worker died ")
        + cast(Job.tries, String)
        + literal(" times while running this job")
    )
    wanted = Job.cancel_requested.is_(True)
    cancelled = literal(JobStatus.CANCELLED, Job.status.type)
    failed = literal(JobStatus.FAILED, Job.status.type)
    statement = (
        update(Job)
        .where(Job.id.in_(gone))
        .values(
            ended(case((wanted, cancelled), else_=failed))
            | {
                "error_code": case((wanted, null()), else_="worker_died"),
                "error_message": case((wanted, null()), else_=died),
            }
        )
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return (await db.scalars(statement)).all()


async def _settle(db: Session, lease: Lease, values: Values) -> bool:
    """False where the fence does not hold. A cancel that came before wins."""
    cancel_came = and_(lease.fence(), Job.cancel_requested.is_(True))
    if await write(db, cancel_came, ended(JobStatus.CANCELLED)):
        return True
    return await write(db, lease.fence(), values)


async def write(db: Session, where: ColumnElement[bool], values: Values) -> bool:
    statement = (
        update(Job)
        .where(where)
        .values(values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return (await db.execute(statement)).one_or_none() is not None


def ended(status: JobStatus | ColumnElement[JobStatus]) -> Values:
    now = database_now()
    return {
        "status": status,
        "completed_at": now,
        "webhook_due_at": case((Job.webhook.is_not(None), now), else_=null()),
        "webhook_tries": 0,
        "lease_owner": None,
        "lease_until": None,
    }


def _tried(at: TryAt) -> Values:
    if at is TryAt.STORE:
        return {"tries": Job.tries - 1, "store_tries": Job.store_tries + 1}
    return {} if at is TryAt.ROWS else {"tries": Job.tries - 1}


def _queued(delay_s: float) -> Values:
    return {
        "status": JobStatus.QUEUED,
        "available_at": database_now() + delay_s,
        "lease_owner": None,
        "lease_until": None,
    }
