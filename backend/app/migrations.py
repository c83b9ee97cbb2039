"""The schema's migrations: run them, and tell whether a database has them all.

The scripts lie in `backend/alembic`; a wheel carries them as `app/alembic`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alembic import command
from app.database import migration_engine
from app.errors import DatabaseUnavailable
from app.models import Base

_T = TypeVar("_T")
_LOCK: Final = 0x4D4C466F726765  # "MLForge": one migration at a time per database.


def head_revision() -> str:
    """The revision this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("no migration scripts are installed")
    return head


async def current_revision(dsn: str) -> str | None:
    """The revision the database is at; None before its first migration."""
    return await _connected(dsn, _revision)


async def is_current(dsn: str) -> bool:
    return await current_revision(dsn) == head_revision()


async def migrate(dsn: str, revision: str = "head") -> None:
    """Brings the database up to `revision`; waits while another process does so."""
    await _connected(dsn, lambda connection: _upgrade(connection, revision))


async def downgrade(dsn: str, revision: str) -> None:
    await _connected(dsn, lambda connection: _downgrade(connection, revision))


async def new_revision(dsn: str, message: str) -> None:
    """Writes a script with what the tables have and the database lacks."""
    await _connected(dsn, lambda connection: _autogenerate(connection, message))


async def drift(dsn: str) -> list[str]:
    """What the tables of the code and of the database differ in; empty is good."""
    return await _connected(dsn, _drift)


async def _connected(dsn: str, work: Callable[[Connection], _T]) -> _T:
    """`work` in one transaction of a connection without statement time limits.

    DatabaseUnavailable says what is wrong where there can be no connection.
    """
    url = _url(dsn)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = migration_engine(url)
    try:
        connection = await _connect(engine)
        try:
            async with connection.begin():
                return await connection.run_sync(work)
        finally:
            await connection.close()
    finally:
        await engine.dispose()


def _url(dsn: str) -> URL:
    try:
        return make_url(dsn)
    except (ArgumentError, ValueError):
        raise DatabaseUnavailable(
            "DATABASE_URL can't be read; it looks like "
            "postgresql+asyncpg://ROLE:PASSWORD@HOST:5432/DATABASE"
        ) from None


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except DBAPIError as error:
        cause = error.driver_exception
        raise DatabaseUnavailable(_why_not(engine.url, cause)) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(_why_not(engine.url, error)) from error


def _why_not(url: URL, error: BaseException) -> str:
    """What a person at the command line can do about it."""
    if url.get_backend_name() == "sqlite":
        return f"the SQLite file {url.database} can't be opened: {error}"
    host = url.host or url.query.get("host") or "localhost"
    place = f"PostgreSQL at {host}:{url.port or 5432}"
    role, name = url.username or "(none)", url.database
    match error:
        case asyncpg.InvalidCatalogNameError():
            command = f"createdb -h {host} -p {url.port or 5432} -U {role} {name}"
            return f'{place} has no database "{name}": make it, with: {command}'
        case asyncpg.InvalidAuthorizationSpecificationError():
            return (
                f'{place} does not let role "{role}" into database "{name}": mend role '
                "and password in DATABASE_URL, or make the role, with createuser"
            )
        case TimeoutError():
            why = "it does not answer"
        case OSError():
            why = error.strerror or str(error)
        case _:
            why = str(error)
    return f"{place} can't be reached ({why}): start it, or mend DATABASE_URL"


def _upgrade(connection: Connection, revision: str) -> None:
    _lock(connection)
    command.upgrade(_config(connection), revision)


def _downgrade(connection: Connection, revision: str) -> None:
    _lock(connection)
    command.downgrade(_config(connection), revision)


def _autogenerate(connection: Connection, message: str) -> None:
    command.revision(_config(connection), message, autogenerate=True)


def _drift(connection: Connection) -> list[str]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [str(change) for change in compare_metadata(context, Base.metadata)]


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _lock(connection: Connection) -> None:
    """SQLite's transaction holds the write lock already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _scripts() -> Path:
    package = Path(__file__).parent
    carried = package / "alembic"
    return carried if carried.is_dir() else package.parent / "alembic"
