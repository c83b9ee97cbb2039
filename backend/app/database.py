"""The database: connections, and the edge of every transaction.

PostgreSQL through asyncpg, SQLite through aiosqlite. Reading and writing are
different types, and both are enforced by the database too.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiosqlite
import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine import URL, Connection, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from app.errors import DatabaseUnavailable, InsufficientStorage, MLForgeError

Callback = Callable[[], Awaitable[None]]

_RECYCLE_S: Final = 1800
_READERS: Final = 8
_MIGRATION_WAIT_S: Final = 30.0
_LOCK_POLL_S: Final = 0.005
_BEFORE: Final = "before_commit"
_AFTER: Final = "after_commit"
# SQLSTATE classes and codes that are the server's trouble, not the statement's.
_TROUBLE: Final = ("08", "40", "53", "57", "58", "55P03", "25006", "25P03")


class ReadSession(AsyncSession):
    """A session that can only read."""


class Session(ReadSession):
    """A session of a transaction that commits when its block ends."""


def before_commit(db: Session, callback: Callback) -> None:
    """Runs `callback` as the last thing of the transaction; what it raises rolls the
    transaction back."""
    db.info.setdefault(_BEFORE, []).append(callback)


def after_commit(db: Session, callback: Callback) -> None:
    """Runs `callback` once `db` has committed; a rollback drops it."""
    db.info.setdefault(_AFTER, []).append(callback)


class Database:
    """The engines of one database; safe for any number of tasks of one loop."""

    def __init__(
        self, dsn: str, *, pool_size: int = 10, timeout_s: float = 5.0
    ) -> None:
        url = make_url(dsn)
        self.dialect = url.get_backend_name()
        self._timeout_s = timeout_s
        if self.dialect == "sqlite":
            self._writer = sqlite_engine(url, timeout_s=timeout_s)
            self._reader = sqlite_engine(url, timeout_s=timeout_s, read_only=True)
        else:
            self._writer = postgresql_engine(
                url, pool_size=pool_size, timeout_s=timeout_s
            )
            self._reader = self._writer.execution_options(postgresql_readonly=True)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Commits when the block ends, rolls back when it raises.

        What `after_commit` took runs after the commit, before this returns.
        """
        async with Session(self._writer, expire_on_commit=False) as db:
            await self._begin(db)
            yield db
            await _run_callbacks(db, _BEFORE)
            async with self._deadline():
                await db.commit()
        await _run_callbacks(db, _AFTER)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ReadSession]:
        """A short read; writing in it is an error of the database."""
        async with ReadSession(self._reader, expire_on_commit=False) as db:
            await self._begin(db)
            yield db

    async def ping(self) -> None:
        """Raises DatabaseUnavailable unless the database answers."""
        async with self.reading() as db:
            await db.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()

    async def _begin(self, db: AsyncSession) -> None:
        """Connects, so that trouble in connecting is told from the block's own."""
        try:
            async with self._deadline():
                await db.connection()
        except PoolTimeout as exc:
            raise DatabaseUnavailable(
                "every database connection is busy; try again in a moment"
            ) from exc
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise _unavailable() from exc

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        """Bounds what the driver leaves unbounded: a frozen server's handshake."""
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                yield
        except TimeoutError as exc:
            raise _unavailable() from exc


async def _run_callbacks(db: Session, when: str) -> None:
    callbacks: list[Callback] = db.info.get(when, [])
    for callback in callbacks:
        await callback()


def postgresql_engine(url: URL, *, pool_size: int, timeout_s: float) -> AsyncEngine:
    timeout_ms = str(int(timeout_s * 1000))
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
        connect_args={
            "timeout": timeout_s,
            "command_timeout": timeout_s,
            "server_settings": {
                "application_name": "mlforge",
                "statement_timeout": timeout_ms,
                # A process that froze inside a transaction holds the registry's
                # lock: the others wait for it no longer than for any statement.
                "idle_in_transaction_session_timeout": timeout_ms,
            },
        },
    )
    event.listen(engine.sync_engine, "handle_error", _translate)
    return engine


def migration_engine(url: URL) -> AsyncEngine:
    """One connection at a time, for statements that may take long."""
    if url.get_backend_name() == "sqlite":
        # Rebuilding a table drops it, which would cascade to what refers to it.
        return sqlite_engine(url, timeout_s=_MIGRATION_WAIT_S, foreign_keys=False)
    return create_async_engine(
        url, poolclass=NullPool, connect_args={"timeout": _MIGRATION_WAIT_S}
    )


def sqlite_engine(
    url: URL, *, timeout_s: float, read_only: bool = False, foreign_keys: bool = True
) -> AsyncEngine:
    """Writers: one connection, whose transactions hold the write lock from the start.

    Python's driver would open the transaction at the first write only, and two
    tasks that read before they write would lose one of the two updates.
    """
    if url.database in (None, "", ":memory:"):
        raise ValueError("an SQLite database needs a file: sqlite+aiosqlite:///FILE")
    engine = create_async_engine(
        url,
        pool_size=_READERS if read_only else 1,
        max_overflow=0,
        pool_timeout=timeout_s,
        connect_args={"isolation_level": None, "timeout": timeout_s},
    )
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    pragmas = [
        f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}",
        "PRAGMA synchronous=FULL",
        "PRAGMA query_only=ON" if read_only else "PRAGMA journal_mode=WAL",
    ]

    async def prepare(connection: aiosqlite.Connection) -> None:
        async with asyncio.timeout(timeout_s):
            for pragma in pragmas:
                await _set(connection, pragma)

    def configure(connection: Any, _record: object) -> None:
        connection.run_async(prepare)

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    def give_up(connection: Any, _record: object, _error: object) -> None:
        # Whoever gives it up ends anyway; or it is closed, or there is no loop to wait in.
        with suppress(
            asyncio.CancelledError, sqlite3.Error, ValueError, MissingGreenlet
        ):
            connection.run_async(_roll_back)

    event.listen(engine.sync_engine, "connect", configure)
    event.listen(engine.sync_engine, "invalidate", give_up)
    event.listen(engine.sync_engine, "begin", start)
    event.listen(engine.sync_engine, "handle_error", _translate)
    return engine


async def _roll_back(connection: aiosqlite.Connection) -> None:
    """Closing alone keeps a transaction, and with it the lock, for as long as one of
    its cursors is in memory: that of a statement that was cancelled, say."""
    await asyncio.shield(connection.rollback())


async def _set(connection: aiosqlite.Connection, pragma: str) -> None:
    """SQLite's own wait for locks leaves out a new file's switch to the WAL."""
    while True:
        try:
            cursor = await connection.execute(pragma)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            await asyncio.sleep(_LOCK_POLL_S)
        else:
            await cursor.close()
            return


def _translate(context: ExceptionContext) -> BaseException | None:
    """The database's own trouble as ours; errors of the statement pass through."""
    if context.is_pre_ping:
        return None  # The pool replaces the connection and goes on.
    cause = context.original_exception
    if not isinstance(cause, Exception):
        return None  # A cancelled task must stay cancelled.
    if isinstance(cause, TimeoutError):
        context.is_disconnect = True  # A late answer must not meet the next query.
        return _unavailable()
    if isinstance(cause, OSError) or context.is_disconnect:
        return _unavailable()
    error = context.sqlalchemy_exception
    if isinstance(error, DBAPIError):
        return _trouble_of(getattr(error.orig, "sqlstate", None), error.orig)
    return None


def _trouble_of(
    sqlstate: str | None, cause: BaseException | None
) -> MLForgeError | None:
    if sqlstate == "53100":
        return _full()
    if sqlstate and sqlstate.startswith(_TROUBLE):
        return _unavailable()
    if isinstance(cause, sqlite3.OperationalError):
        name = getattr(cause, "sqlite_errorname", "SQLITE_BUSY")
        if name == "SQLITE_FULL":
            return _full()
        return None if name == "SQLITE_ERROR" else _unavailable()
    return None


def _unavailable() -> DatabaseUnavailable:
    return DatabaseUnavailable("the database does not answer; try again in a moment")


def _full() -> InsufficientStorage:
    return InsufficientStorage("the database has no disk space left")
