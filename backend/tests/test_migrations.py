"""The migrations, up, down and against the tables of the code."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.migrations import (
    current_revision,
    downgrade,
    drift,
    head_revision,
    is_current,
    migrate,
)
from tests.servers import Servers


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_dsn(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path
) -> Iterator[str]:
    """A database without a table; the SQLite file's folder does not exist yet."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'new' / 'mlforge.db'}"
        return
    dsn = servers.postgres().create_database()
    yield dsn
    servers.postgres().drop_database(dsn)


async def test_they_go_up_and_down_and_up_again(empty_dsn: str) -> None:
    assert await current_revision(empty_dsn) is None
    assert not await is_current(empty_dsn)
    await migrate(empty_dsn)
    assert await current_revision(empty_dsn) == head_revision()
    await downgrade(empty_dsn, "base")
    assert await current_revision(empty_dsn) is None
    await migrate(empty_dsn)
    assert await is_current(empty_dsn)


async def test_they_make_the_tables_that_the_code_has(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    assert await drift(empty_dsn) == []


async def test_drift_is_found(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    await downgrade(empty_dsn, "base")
    assert any("versions" in change for change in await drift(empty_dsn))


async def test_several_processes_may_migrate_at_once(empty_dsn: str) -> None:
    await asyncio.gather(*(migrate(empty_dsn) for _ in range(4)))
    assert await is_current(empty_dsn)


async def test_a_new_sqlite_file_that_another_writes_is_waited_for(
    tmp_path: Path,
) -> None:
    """SQLite's own wait leaves this one out: it fails at once."""
    path = tmp_path / "mlforge.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        migrating = asyncio.create_task(migrate(f"sqlite+aiosqlite:///{path}"))
        await asyncio.wait({migrating}, timeout=0.5)
        assert not migrating.done()
        other.execute("COMMIT")
        await migrating
    assert await is_current(f"sqlite+aiosqlite:///{path}")


async def test_migrating_again_changes_nothing(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    await migrate(empty_dsn)
    assert await is_current(empty_dsn)
