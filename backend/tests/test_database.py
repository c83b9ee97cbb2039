"""Transactions on the real databases: isolation, commit, callbacks, trouble."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import IntegrityError

from app.crud import models, registry_clock
from app.database import Database, after_commit
from app.errors import DatabaseUnavailable
from app.models.clock import RegistryClock
from app.models.model import Model
from tests.servers import OwnPostgres

TASKS, ROUNDS = 8, 25


async def test_concurrent_read_modify_write_loses_nothing(database: Database) -> None:
    async def work() -> None:
        for _ in range(ROUNDS):
            async with database.transaction() as db:
                clock = (
                    await db.scalars(select(RegistryClock).with_for_update())
                ).one()
                clock.revision += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(TASKS):
            tasks.create_task(work())

    async with database.reading() as db:
        assert await registry_clock.current_revision(db) == TASKS * ROUNDS


async def test_cancelled_transactions_leave_no_lock_and_no_half(
    database: Database,
) -> None:
    done = 0

    async def work() -> None:
        nonlocal done
        async with database.transaction() as db:
            await registry_clock.tick(db)
            await asyncio.sleep(0)
            await registry_clock.tick(db)
        done += 1

    for turns in range(60):
        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await work()

    async with database.reading() as db:
        revision = await registry_clock.current_revision(db)
    # A commit that was cancelled on its way may stand, but never half of one.
    assert revision % 2 == 0
    assert revision >= 2 * done


async def test_a_cancelled_statement_leaves_no_lock(database: Database) -> None:
    """What ended it is kept, and with its frames the cursor of the statement."""

    async def work() -> None:
        async with database.transaction() as db:
            await registry_clock.tick(db)

    task = asyncio.create_task(work())

    def cancel(_connection: object, _cursor: object, told: str, *_: object) -> None:
        if told.startswith("UPDATE"):
            task.cancel()

    event.listen(Engine, "before_cursor_execute", cancel)
    try:
        (kept,) = await asyncio.gather(task, return_exceptions=True)
    finally:
        event.remove(Engine, "before_cursor_execute", cancel)
    assert isinstance(kept, asyncio.CancelledError)
    await work()
    async with database.reading() as db:
        assert await registry_clock.current_revision(db) == 1


async def test_two_databases_on_one_file_lose_nothing(database_dsn: str) -> None:
    first, second = Database(database_dsn), Database(database_dsn)

    async def work(database: Database) -> None:
        for _ in range(ROUNDS):
            async with database.transaction() as db:
                await registry_clock.tick(db)

    try:
        await asyncio.gather(work(first), work(second))
        async with first.reading() as db:
            assert await registry_clock.current_revision(db) == 2 * ROUNDS
    finally:
        await first.close()
        await second.close()


async def test_callbacks_run_after_the_commit_and_see_it(database: Database) -> None:
    seen: list[bool] = []

    async def look() -> None:
        async with database.reading() as db:
            seen.append(await models.find_model(db, "iris") is not None)

    async with database.transaction() as db:
        after_commit(db, look)
        await models.ensure_model(db, "iris", revision=1)
        assert seen == []
    assert seen == [True]


async def test_a_rollback_drops_changes_and_callbacks(database: Database) -> None:
    called: list[bool] = []

    async def note() -> None:
        called.append(True)

    async def change_and_fail() -> None:
        async with database.transaction() as db:
            after_commit(db, note)
            await models.ensure_model(db, "iris", revision=1)
            raise KeyError

    with pytest.raises(KeyError):
        await change_and_fail()
    async with database.reading() as db:
        assert await models.find_model(db, "iris") is None
    assert called == []


async def test_a_reading_session_can_not_write(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with database.reading() as db:
            await db.execute(text("DELETE FROM registry_clock"))
    async with database.transaction() as db:
        assert await registry_clock.tick(db) == 1


async def test_a_broken_rule_of_a_table_passes_through(database: Database) -> None:
    twice = [Model(name="iris", revision=1), Model(name="iris", revision=1)]
    with pytest.raises(IntegrityError):
        async with database.transaction() as db:
            db.add_all(twice)


async def test_foreign_keys_are_enforced(database: Database) -> None:
    statement = text(
        "INSERT INTO aliases (id, model_id, alias, version_id) VALUES (:id, :id, 'a', :id)"
    )
    nobody = "0f9b6d5e3f0d4c399d0c1f2f6f0e8a77"
    with pytest.raises(IntegrityError):
        async with database.transaction() as db:
            await db.execute(statement, {"id": nobody})


async def test_errors_of_the_block_are_not_taken_for_the_databases(
    database: Database,
) -> None:
    with pytest.raises(TimeoutError):
        async with database.transaction():
            raise TimeoutError
    with pytest.raises(OSError, match="mine"):
        async with database.reading():
            raise OSError("mine")


async def test_a_pool_that_stays_empty_is_unavailable(database_dsn: str) -> None:
    database = Database(database_dsn, pool_size=1, timeout_s=0.5)
    try:
        async with database.transaction():
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction():
                    pass
    finally:
        await database.close()


async def test_a_lock_held_by_another_process_is_unavailable(sqlite_dsn: str) -> None:
    first, second = Database(sqlite_dsn), Database(sqlite_dsn, timeout_s=0.05)
    try:
        async with first.transaction():
            with pytest.raises(DatabaseUnavailable):
                async with second.transaction():
                    pass
            await second.ping()
    finally:
        await first.close()
        await second.close()


@pytest.mark.parametrize("dsn", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
def test_a_database_in_memory_is_refused(dsn: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        Database(dsn)


async def test_no_server_is_unavailable() -> None:
    database = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    await database.close()


async def test_a_frozen_postgresql_is_unavailable_then_fine_then_gone(
    private_postgres: OwnPostgres,
) -> None:
    database = Database(private_postgres.create_database(), timeout_s=0.5)
    try:
        await database.ping()
        private_postgres.freeze()
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
        private_postgres.thaw()
        await database.ping()
        private_postgres.kill()
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
    finally:
        await database.close()


@pytest.mark.parametrize("when", ["before a statement", "before the commit"])
async def test_postgresql_freezing_in_a_transaction_is_unavailable(
    private_postgres: OwnPostgres, when: str
) -> None:
    database = Database(private_postgres.create_database(), timeout_s=0.5)

    async def freeze_inside() -> None:
        async with database.transaction() as db:
            await db.execute(text("CREATE TABLE unwritten (id int)"))
            private_postgres.freeze()
            if when == "before a statement":
                await db.execute(text("SELECT 1"))

    try:
        with pytest.raises(DatabaseUnavailable):
            await freeze_inside()
        private_postgres.thaw()
        await database.ping()
    finally:
        private_postgres.thaw()
        await database.close()


async def test_a_transaction_left_open_does_not_hold_the_others_for_long(
    postgres_dsn: str,
) -> None:
    """As a process that was frozen in the middle of one leaves it."""
    frozen, other = Database(postgres_dsn, timeout_s=0.5), Database(postgres_dsn)
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(pytest.raises(DatabaseUnavailable))
            db = await stack.enter_async_context(frozen.transaction())
            await registry_clock.tick(db)
            async with other.transaction() as db:
                await registry_clock.tick(db)
    finally:
        await frozen.close()
        await other.close()


async def test_the_wait_for_a_transaction_left_open_is_one_database_timeout(
    postgres_dsn: str,
) -> None:
    database = Database(postgres_dsn, timeout_s=5.0)
    try:
        async with database.reading() as db:
            name = "idle_in_transaction_session_timeout"
            limit = (await db.execute(text(f"SHOW {name}"))).scalar_one()
        assert limit == "5s"
    finally:
        await database.close()


async def test_connections_that_the_server_closed_are_not_handed_out(
    postgres_dsn: str,
) -> None:
    first, second = Database(postgres_dsn), Database(postgres_dsn)
    try:
        await first.ping()
        async with second.transaction() as db:
            await db.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        await first.ping()
    finally:
        await first.close()
        await second.close()


async def test_a_statement_that_runs_too_long_is_unavailable(postgres_dsn: str) -> None:
    database = Database(postgres_dsn, timeout_s=0.2)
    try:
        with pytest.raises(DatabaseUnavailable):
            async with database.reading() as db:
                await db.execute(text("SELECT pg_sleep(30)"))
        await database.ping()
    finally:
        await database.close()
