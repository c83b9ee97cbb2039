"""Claiming and holding jobs, as workers do. Ending them: `job_outcomes`.

A lease makes a job one worker's own for a while; `attempt` with `lease_owner` is
the fence that keeps a worker which lost its lease from writing anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    case,
    func,
    or_,
    select,
    true,
    update,
)

from app.crud.clock import database_now
from app.database import ReadSession, Session
from app.enums import JobKind, JobStage, JobStatus
from app.models.job import LIVE, Job


@dataclass(frozen=True, slots=True)
class Lease:
    """One worker's hold on one attempt of a job."""

    job_id: str
    attempt: int
    owner: str

    def __str__(self) -> str:
        return f"job {self.job_id}, attempt {self.attempt}"

    @property
    def stem(self) -> str:
        """A name for what this attempt writes, which no other attempt has."""
        return f"{self.attempt}-{self.owner[:8]}"

    def fence(self) -> ColumnElement[bool]:
        return and_(
            Job.id == self.job_id,
            Job.attempt == self.attempt,
            Job.lease_owner == self.owner,
            Job.status == JobStatus.RUNNING,
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    lease: Lease
    version_id: str
    payload: bytes
    tries: int
    max_attempts: int
    stage: JobStage | None = None
    recipe: str | None = None
    store_tries: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What the database says about a job that a worker has in hand."""

    job_id: str
    attempt: int
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Rank:
    """How urgent work is: the least goes first."""

    priority: int
    created_at: float


async def claim(
    db: Session,
    owner: str,
    lease_s: float,
    *,
    before: Rank | None = None,
    only: JobKind | None = None,
    store: str | None = None,
) -> Claimed | None:
    """Takes the most urgent job that is queued or that its worker has left.

    `before`: only where it goes first. `only`: of this kind. `store`: with its
    files in this one.
    """
    statement = (
        update(Job)
        .where(Job.id == _next_id(before, only, store))
        .values(_taken(owner, lease_s))
        .returning(
            Job.id,
            Job.attempt,
            Job.version_id,
            Job.payload,
            Job.tries,
            Job.max_attempts,
            Job.stage,
            Job.recipe,
            Job.store_tries,
        )
        .execution_options(synchronize_session=False)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        return None
    return Claimed(
        lease=Lease(row.id, row.attempt, owner),
        version_id=row.version_id,
        payload=row.payload,
        tries=row.tries,
        max_attempts=row.max_attempts,
        stage=row.stage,
        recipe=row.recipe,
        store_tries=row.store_tries,
    )


def _taken(owner: str, lease_s: float) -> dict[str, Any]:
    now = database_now()
    is_first = Job.started_at.is_(None)
    waited_ms = (now - Job.available_at) * 1000.0
    return {
        "status": JobStatus.RUNNING,
        "attempt": Job.attempt + 1,
        "tries": Job.tries + 1,
        "lease_owner": owner,
        "lease_until": now + lease_s,
        "queue_time_ms": case((is_first, waited_ms), else_=Job.queue_time_ms),
        "started_at": func.coalesce(Job.started_at, now),
    }


async def list_held(
    db: ReadSession, owner: str, job_ids: Sequence[str]
) -> dict[str, Held]:
    statement = select(Job.id, Job.attempt, Job.cancel_requested).where(
        Job.id.in_(job_ids), Job.lease_owner == owner, Job.status == JobStatus.RUNNING
    )
    rows = (await db.execute(statement)).all()
    return {row.id: Held(row.id, row.attempt, row.cancel_requested) for row in rows}


async def renew(
    db: Session, owner: str, job_ids: Sequence[str], lease_s: float
) -> dict[str, Held]:
    """Extends what `owner` still holds of these jobs, and says which those are."""
    statement = (
        update(Job)
        .where(
            Job.id.in_(job_ids),
            Job.lease_owner == owner,
            Job.status == JobStatus.RUNNING,
        )
        .values(lease_until=database_now() + lease_s)
        .returning(Job.id, Job.attempt, Job.cancel_requested)
        .execution_options(synchronize_session=False)
    )
    rows = (await db.execute(statement)).all()
    return {row.id: Held(row.id, row.attempt, row.cancel_requested) for row in rows}


def _next_id(
    before: Rank | None, only: JobKind | None, store: str | None
) -> ScalarSelect[str]:
    """SQLite has no row locks and needs none: its writers come one at a time."""
    now = database_now()
    left_behind = and_(
        Job.status == JobStatus.RUNNING,
        Job.lease_until < now,
        Job.tries < Job.max_attempts,
        Job.cancel_requested.is_(False),
    )
    queued = and_(Job.status == JobStatus.QUEUED, Job.available_at <= now)
    return (
        select(Job.id)
        .where(LIVE, or_(queued, left_behind), _goes_before(before), _is_of(only))
        .where(is_in(store))
        .order_by(Job.priority, Job.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )


def _goes_before(rank: Rank | None) -> ColumnElement[bool]:
    if rank is None:
        return true()
    return or_(
        Job.priority < rank.priority,
        and_(Job.priority == rank.priority, Job.created_at <= rank.created_at),
    )


def is_in(store: str | None) -> ColumnElement[bool]:
    """None: wherever its files are. Jobs without files are in every store."""
    return true() if store is None else or_(Job.store.is_(None), Job.store == store)


def _is_of(kind: JobKind | None) -> ColumnElement[bool]:
    return true() if kind is None else Job.kind == kind
