"""The clock of the registry: its one row is also the lock of its writers."""

from sqlalchemy import select, update

from app.database import ReadSession, Session
from app.models.clock import RegistryClock


async def tick(db: Session) -> int:
    """The next revision. Holds every other writer of the registry back until the
    transaction ends, so that revisions commit in their order: call it first."""
    statement = (
        update(RegistryClock)
        .values(revision=RegistryClock.revision + 1)
        .returning(RegistryClock.revision)
    )
    return (await db.execute(statement)).scalar_one()


async def current_revision(db: ReadSession) -> int:
    return (await db.execute(select(RegistryClock.revision))).scalar_one()
