"""The audit log: the rows. Nothing here changes or deletes one."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select, text

from app.database import ReadSession, Session
from app.enums import Action
from app.kit.chain import GENESIS
from app.models.audit_entry import AuditEntry

# Held until the transaction ends, so that no two entries follow the same one.
_HOLD: Final = text("SELECT pg_advisory_xact_lock(:key)")
_LOCK: Final = 0x4D4C466175646974  # "MLFaudit"


@dataclass(frozen=True, slots=True)
class NewEntry:
    at: datetime
    actor: str
    via: str | None
    action: Action
    object: str
    digest: str | None
    result: str
    detail: str | None
    peer: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """`action`: one, or all of a family such as `model`. `object`: one, or all that are
    of the model of that name. From `since` on and before `until`."""

    action: str | None = None
    actor: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.action is not None:
            family = AuditEntry.action.startswith(f"{self.action}.", autoescape=True)
            found.append(or_(AuditEntry.action == self.action, family))
        if self.actor is not None:
            found.append(AuditEntry.actor == self.actor)
        if self.object is not None:
            of_model = (
                AuditEntry.object.startswith(self.object + mark, autoescape=True)
                for mark in ":@"
            )
            found.append(or_(AuditEntry.object == self.object, *of_model))
        if self.since is not None:
            found.append(AuditEntry.at >= self.since)
        if self.until is not None:
            found.append(AuditEntry.at < self.until)
        return found


async def append(db: Session, entries: Sequence[NewEntry]) -> None:
    """Adds them to the end of the chain. Call it last: it holds back every other
    writer of the log until the transaction ends."""
    # Whatever else the transaction has to wait for, it has by now.
    await db.flush()
    if db.get_bind().dialect.name == "postgresql":
        # A statement of its own: what follows must see what it has waited for.
        await db.execute(_HOLD, {"key": _LOCK})
    last, previous = await _last(db)
    for seq, new in enumerate(entries, last + 1):
        entry = AuditEntry(seq=seq, previous=previous, **asdict(new))
        previous = entry.hash = entry.linked()
        db.add(entry)
    await db.flush()


async def page_of_entries(
    db: ReadSession, wanted: AuditFilter, *, page: int, page_size: int
) -> tuple[Sequence[AuditEntry], int]:
    """One page, newest first, and how many there are in all."""
    counting = select(func.count()).select_from(AuditEntry).where(*wanted.clauses())
    statement = (
        select(AuditEntry)
        .where(*wanted.clauses())
        .order_by(AuditEntry.seq.desc())
        .offset((page - 1) * page_size)
        .limit(page_size)
    )
    return (await db.scalars(statement)).all(), (
        await db.execute(counting)
    ).scalar_one()


async def entries_after(
    db: ReadSession, seq: int, wanted: AuditFilter, *, limit: int
) -> Sequence[AuditEntry]:
    """In the order of the chain."""
    statement = (
        select(AuditEntry)
        .where(AuditEntry.seq > seq, *wanted.clauses())
        .order_by(AuditEntry.seq)
        .limit(limit)
    )
    return (await db.scalars(statement)).all()


async def keys_made_by(db: ReadSession, actor: str) -> set[str]:
    """The ids of the keys that it made; of a rotation, of the new one."""
    making = (Action.KEY_CREATE, Action.KEY_ROTATE)
    statement = select(AuditEntry.action, AuditEntry.object, AuditEntry.detail).where(
        AuditEntry.actor == actor, AuditEntry.action.in_(making)
    )
    return {
        json.loads(row.detail)["to"] if row.action == Action.KEY_ROTATE else row.object
        for row in await db.execute(statement)
    }


async def _last(db: ReadSession) -> tuple[int, str]:
    statement = (
        select(AuditEntry.seq, AuditEntry.hash).order_by(AuditEntry.seq.desc()).limit(1)
    )
    row = (await db.execute(statement)).one_or_none()
    return (0, GENESIS) if row is None else (row.seq, row.hash)
