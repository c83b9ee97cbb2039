"""The audit log: kept with the change, one chain whoever writes, never changed."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import make_transient

from app.auth.actor import Actor, Arrival, acting
from app.database import Database
from app.enums import Action
from app.kit.chain import GENESIS
from app.models.audit_entry import AuditEntry
from app.services.audit import AuditLog, note
from app.services.audit_check import ChainCheck, Verdict, verify

WRITERS, EACH = 4, 5


async def write(database: Database, *subjects: str) -> None:
    async with database.transaction() as db:
        for subject in subjects:
            note(db, Action.JOB_DELETE, subject)


async def write_and_fail(database: Database, subject: str) -> None:
    async with database.transaction() as db:
        note(db, Action.JOB_DELETE, subject)
        raise RuntimeError


async def entries_of(database: Database) -> list[AuditEntry]:
    return [
        entry async for portion in AuditLog(database).portions() for entry in portion
    ]


async def test_only_what_commits_is_told_and_by_whom(database: Database) -> None:
    actor = Actor("3kTMd9xWqB0c", Arrival("DELETE /x", "192.0.2.7", "request-1"))
    with acting(actor):
        await write(database, "one", "two")
        with pytest.raises(RuntimeError):
            await write_and_fail(database, "three")
    await write(database, "four")
    found = await entries_of(database)
    assert [(entry.seq, entry.object) for entry in found] == [
        (1, "one"),
        (2, "two"),
        (3, "four"),
    ]
    assert {(entry.actor, entry.peer) for entry in found[:2]} == {
        ("3kTMd9xWqB0c", "192.0.2.7")
    }
    assert (found[2].actor, found[2].via, found[2].peer) == ("server", None, None)


async def test_writers_at_once_make_one_chain(
    database: Database, database_dsn: str
) -> None:
    replicas = [Database(database_dsn, timeout_s=30) for _ in range(WRITERS)]

    async def work(replica: Database) -> None:
        for number in range(EACH):
            await write(replica, f"{number}-a", f"{number}-b")

    await asyncio.gather(*map(work, replicas))
    for replica in replicas:
        await replica.close()
    verdict = await verify(AuditLog(database))
    assert (verdict.fault, verdict.entries) == (None, 2 * WRITERS * EACH)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log WHERE seq = 2",
        "{replace}",
    ],
)
async def test_the_database_refuses_to_change_an_entry(
    database: Database, statement: str
) -> None:
    await write(database, "one", "two")
    replace = (
        "TRUNCATE audit_log"
        if database.dialect == "postgresql"
        else "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log WHERE seq = 1"
    )
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.transaction() as db:
            await db.execute(text(statement.format(replace=replace)))
    assert (await verify(AuditLog(database))).entries == 2


def changed(entries: list[AuditEntry]) -> None:
    entries[1].object = "other"


def rehashed(entries: list[AuditEntry]) -> None:
    entries[1].object = "other"
    entries[1].hash = entries[1].linked()


def cut_out(entries: list[AuditEntry]) -> None:
    del entries[1:3]


def swapped(entries: list[AuditEntry]) -> None:
    entries[1].seq, entries[2].seq = entries[2].seq, entries[1].seq
    entries[1:3] = entries[2], entries[1]


def cut_off(entries: list[AuditEntry]) -> None:
    del entries[3:]


def untouched(_entries: list[AuditEntry]) -> None:
    return


@pytest.mark.parametrize(
    ("tamper", "told", "told_without_head"),
    [
        (untouched, None, None),
        (changed, "entry 2 was changed", "entry 2 was changed"),
        (rehashed, "entry 3 follows another", "entry 3 follows another"),
        (cut_out, "entries 2 to 3 are missing", "entries 2 to 3 are missing"),
        (swapped, "entry 2 follows another", "entry 2 follows another"),
        (cut_off, "missing, or the log was written anew", None),
    ],
)
async def test_the_first_broken_link_is_named(
    sqlite_dsn: str,
    tamper: Callable[[list[AuditEntry]], None],
    told: str | None,
    told_without_head: str | None,
) -> None:
    database = Database(sqlite_dsn)
    await write(database, "one", "two", "three", "four")
    head = (await verify(AuditLog(database))).head
    entries = await entries_of(database)
    await database.close()
    for entry in entries:
        make_transient(entry)
    tamper(entries)
    for known, wanted in ((head, told), (None, told_without_head)):
        fault = checked(entries, known).fault
        assert (fault is None) == (wanted is None), fault
        assert (wanted or "") in (fault or "")


def checked(entries: list[AuditEntry], head: str | None) -> Verdict:
    check = ChainCheck(head)
    return check.verdict(check.find_fault(entries))


async def test_an_older_head_and_the_empty_log_are_whole(database: Database) -> None:
    empty = await verify(AuditLog(database))
    assert empty == Verdict(0, GENESIS)
    await write(database, "one")
    first = (await verify(AuditLog(database))).head
    await write(database, "two")
    for head in (GENESIS, first):
        assert (await verify(AuditLog(database), head)).fault is None
