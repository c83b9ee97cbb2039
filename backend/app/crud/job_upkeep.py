"""What is asked of all jobs at once, now and then."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select

from app.crud.clock import database_now
from app.database import ReadSession, Session
from app.enums import JobKind, JobStatus
from app.models.job import LIVE, Job


@dataclass(frozen=True, slots=True)
class Live:
    queued: int
    running: int


async def count_live(db: ReadSession) -> Live:
    statement = select(Job.status, func.count()).where(LIVE).group_by(Job.status)
    counts = {row[0]: row[1] for row in await db.execute(statement)}
    return Live(counts.get(JobStatus.QUEUED, 0), counts.get(JobStatus.RUNNING, 0))


async def has_live_files(db: ReadSession) -> bool:
    """Whether there are file jobs to work on."""
    statement = select(Job.id).where(LIVE, Job.kind == JobKind.FILE).limit(1)
    return (await db.scalars(statement)).first() is not None


async def find_elsewhere(db: ReadSession, store: str) -> str | None:
    """A job to work on whose files lie in another store than this."""
    statement = select(Job.id).where(LIVE, Job.store != store).limit(1)
    return (await db.scalars(statement)).first()


async def file_job_ids(db: ReadSession) -> set[str]:
    found = await db.scalars(select(Job.id).where(Job.kind == JobKind.FILE))
    return set(found)


async def remove_ended(db: Session, age_s: float, *, limit: int) -> list[str]:
    """Removes up to `limit` jobs that ended so long ago; gives their ids."""
    old = (
        select(Job.id)
        .where(
            Job.completed_at < database_now() - age_s,
            Job.status.not_in((JobStatus.QUEUED, JobStatus.RUNNING)),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        delete(Job)
        .where(Job.id.in_(old))
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return list(await db.scalars(statement))
