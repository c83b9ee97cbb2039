"""Notices of ended jobs that are due: claimed by one sender at a time."""

from dataclasses import dataclass

from sqlalchemy import Update, select, update

from app.crud.clock import database_now
from app.database import ReadSession, Session
from app.models.job import Job


@dataclass(frozen=True, slots=True)
class DueNotice:
    """`tries` counts this one; with the job's id it is the fence of its outcome."""

    job_id: str
    tries: int


async def claim(db: Session, lease_s: float) -> DueNotice | None:
    """The notice that is due longest, away from other senders for `lease_s`."""
    now = database_now()
    first = (
        select(Job.id)
        .where(Job.webhook_due_at <= now)
        .order_by(Job.webhook_due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(Job)
        .where(Job.id == first)
        .values(webhook_due_at=now + lease_s, webhook_tries=Job.webhook_tries + 1)
        .returning(Job.id, Job.webhook_tries)
        .execution_options(synchronize_session=False)
    )
    row = (await db.execute(statement)).one_or_none()
    return None if row is None else DueNotice(row.id, row.webhook_tries)


async def find(db: ReadSession, notice: DueNotice) -> Job | None:
    """The job, unless it was retried or deleted since."""
    found = await db.scalars(
        select(Job).where(
            Job.id == notice.job_id,
            Job.webhook_tries == notice.tries,
            Job.webhook_due_at.is_not(None),
        )
    )
    return found.one_or_none()


async def settle(db: Session, notice: DueNotice) -> None:
    """It was taken, or is given up."""
    await db.execute(_update(notice).values(webhook_due_at=None))


async def postpone(db: Session, notice: DueNotice, delay_s: float) -> None:
    due_at = database_now() + delay_s
    await db.execute(_update(notice).values(webhook_due_at=due_at))


def _update(notice: DueNotice) -> Update:
    return (
        update(Job)
        .where(
            Job.id == notice.job_id,
            Job.webhook_tries == notice.tries,
            Job.webhook_due_at.is_not(None),
        )
        .execution_options(synchronize_session=False)
    )
