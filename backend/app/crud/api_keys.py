"""API keys: the rows."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select, update

from app.database import ReadSession, Session
from app.models.api_key import ApiKey


async def find_key(db: ReadSession, key_id: str) -> ApiKey | None:
    return await db.get(ApiKey, key_id)


async def count_keys(db: ReadSession) -> int:
    """Revoked ones too."""
    statement = select(func.count()).select_from(ApiKey)
    return (await db.execute(statement)).scalar_one()


async def page_of_keys(
    db: ReadSession, *, page: int, page_size: int
) -> tuple[Sequence[ApiKey], int]:
    """One page, newest first, and how many there are in all."""
    statement = (
        select(ApiKey)
        .order_by(ApiKey.created_at.desc(), ApiKey.id)
        .offset((page - 1) * page_size)
        .limit(page_size)
    )
    return (await db.scalars(statement)).all(), await count_keys(db)


async def standing_keys(db: ReadSession) -> Sequence[ApiKey]:
    """Every key that was not revoked; expired ones too."""
    statement = select(ApiKey).where(ApiKey.revoked_at.is_(None))
    return (await db.scalars(statement)).all()


async def add_key(db: Session, row: ApiKey) -> ApiKey:
    db.add(row)
    await db.flush()
    return row


async def note_used(
    db: Session, ids: Collection[str], now: datetime, *, unless_since: datetime
) -> None:
    """Writes when the keys were used, but for those where it was written lately."""
    await db.execute(
        update(ApiKey)
        .where(ApiKey.id.in_(ids))
        .where(or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < unless_since))
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )
