"""The shape of every change of the registry."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from app.crud import models, registry_clock
from app.database import Database, Session, after_commit
from app.models.model import Model

Refresh = Callable[[Collection[str]], Awaitable[None]]


@dataclass(slots=True)
class Change:
    db: Session
    revision: int
    names: set[str] = field(default_factory=set)

    def touch(self, model: Model) -> None:
        """This change is about `model`: followers look at it again."""
        model.revision = self.revision
        self.names.add(model.name)

    async def model(self, name: str) -> Model:
        """The model of that name, made if need be, and touched."""
        self.names.add(name)
        return await models.ensure_model(self.db, name, revision=self.revision)


class Changes:
    def __init__(self, database: Database, refresh: Refresh) -> None:
        self._database = database
        self._refresh = refresh

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Change]:
        """One transaction, one after the other over all processes; this process
        serves by it before the block's `async with` returns."""
        async with self._database.transaction() as db:
            change = Change(db, await registry_clock.tick(db))
            after_commit(db, lambda: self._refresh(change.names))
            yield change
