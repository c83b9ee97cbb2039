"""Databases at the newest migration, each a quick copy of one made once."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

from app.migrations import migrate
from tests.postgres_server import database_name
from tests.servers import Servers


def migrate_in_thread(dsn: str) -> None:
    # A thread of its own: a fixture may be asked for while a loop runs.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate(dsn)).result()


class MigratedDatabases:
    def __init__(self, servers: Servers, folder: Path) -> None:
        self._servers = servers
        self._folder = folder

    @cached_property
    def _sqlite_template(self) -> Path:
        file = self._folder / "template.db"
        migrate_in_thread(f"sqlite+aiosqlite:///{file}")
        return file

    @cached_property
    def _postgres_template(self) -> str:
        dsn = self._servers.postgres().create_database()
        migrate_in_thread(dsn)
        return database_name(dsn)

    @contextmanager
    def sqlite(self, folder: Path) -> Iterator[str]:
        """The DSN of a new SQLite file in `folder`."""
        file = folder / "mlforge.db"
        with (
            closing(sqlite3.connect(self._sqlite_template)) as template,
            closing(sqlite3.connect(file)) as copy,
        ):
            template.backup(copy)
        yield f"sqlite+aiosqlite:///{file}"

    @contextmanager
    def postgres(self) -> Iterator[str]:
        """The DSN of a new PostgreSQL database, dropped at the end."""
        server = self._servers.postgres()
        dsn = server.create_database(template=self._postgres_template)
        try:
            yield dsn
        finally:
            server.drop_database(dsn)
