"""Models: the names."""

from sqlalchemy import select

from app.database import ReadSession, Session
from app.models.model import Model


async def find_model(db: ReadSession, name: str) -> Model | None:
    statement = select(Model).where(Model.name == name)
    return (await db.scalars(statement)).one_or_none()


async def ensure_model(db: Session, name: str, *, revision: int) -> Model:
    """The model of that name, made if there is none; stamped with `revision`."""
    model = await find_model(db, name)
    if model is None:
        model = Model(name=name)
        db.add(model)
    model.revision = revision
    await db.flush()
    return model


async def names_changed_since(db: ReadSession, revision: int) -> list[str]:
    statement = select(Model.name).where(Model.revision > revision)
    return list(await db.scalars(statement))
