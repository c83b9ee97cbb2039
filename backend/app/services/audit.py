"""The audit log: notes of changes, kept with them, and reading what was noted."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from app.auth.actor import Actor, current_actor
from app.crud import audit_log
from app.crud.audit_log import AuditFilter, NewEntry
from app.database import Database, Session, before_commit
from app.enums import Action
from app.kit.peers import peer_address
from app.models.audit_entry import AuditEntry
from app.models.base import utc_now

OK: Final = "ok"
EVERYTHING: Final = AuditFilter()
_NOTED: Final = "audit"
# Read at a time, and then no connection is held.
_PORTION: Final = 500


@dataclass(frozen=True, slots=True)
class AuditPage:
    items: Sequence[AuditEntry]
    total: int


def note(
    db: Session,
    action: Action,
    subject: str,
    *,
    digest: str | None = None,
    result: str = OK,
    actor: Actor | None = None,
    **detail: Any,
) -> None:
    """Has the change that `db` makes told by the audit log, if it commits and only then.

    `detail` tells what was asked, never a key, an input or an output.
    """
    who = actor or current_actor()
    told = {name: value for name, value in detail.items() if value is not None}
    entry = NewEntry(
        at=utc_now(),
        actor=who.name,
        via=who.arrival.via,
        action=action,
        object=subject,
        digest=digest,
        result=result,
        detail=_json(told) if told else None,
        peer=peer_address(who.arrival.peer),
        request_id=who.arrival.request_id,
    )
    noted = db.info.get(_NOTED)
    if noted is None:
        noted = db.info[_NOTED] = []
        before_commit(db, partial(audit_log.append, db, noted))
    noted.append(entry)


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, wanted: AuditFilter, *, page: int, page_size: int
    ) -> AuditPage:
        """Newest first."""
        async with self._database.reading() as db:
            items, total = await audit_log.page_of_entries(
                db, wanted, page=page, page_size=page_size
            )
        return AuditPage(items, total)

    async def portions(
        self, wanted: AuditFilter = EVERYTHING
    ) -> AsyncIterator[Sequence[AuditEntry]]:
        """All of it, oldest first, as long as there are any."""
        seq = 0
        while True:
            async with self._database.reading() as db:
                entries = await audit_log.entries_after(db, seq, wanted, limit=_PORTION)
            if not entries:
                return
            seq = entries[-1].seq
            yield entries


def line_of(entry: AuditEntry) -> bytes:
    """The entry as a line of JSON."""
    columns = AuditEntry.__table__.columns.keys()
    record = {name: getattr(entry, name) for name in columns}
    if entry.detail is not None:
        record["detail"] = orjson.loads(entry.detail)
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
