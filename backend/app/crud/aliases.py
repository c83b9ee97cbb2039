"""Aliases: movable names for versions."""

from sqlalchemy import delete, select

from app.database import ReadSession, Session
from app.models.alias import Alias


async def find_alias(db: ReadSession, model_id: str, alias: str) -> Alias | None:
    statement = select(Alias).where(Alias.model_id == model_id, Alias.alias == alias)
    return (await db.scalars(statement)).one_or_none()


async def put_alias(db: Session, model_id: str, alias: str, version_id: str) -> None:
    row = await find_alias(db, model_id, alias)
    if row is None:
        row = Alias(model_id=model_id, alias=alias)
        db.add(row)
    row.version_id = version_id
    await db.flush()


async def delete_alias(db: Session, model_id: str, alias: str) -> bool:
    """Whether there was one."""
    statement = (
        delete(Alias)
        .where(Alias.model_id == model_id, Alias.alias == alias)
        .returning(Alias.id)
    )
    return (await db.execute(statement)).first() is not None
