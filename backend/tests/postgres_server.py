"""PostgreSQL for the tests: one that we start and may break, or a given one."""

import asyncio
import os
import signal
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import asyncpg
from sqlalchemy.engine import URL, make_url

from tests.binaries import postgres_binaries
from tests.processes import (
    Child,
    NotReady,
    Scratch,
    free_port,
    reachable_by_others,
    unprivileged_account,
    wait_until,
)

START_ATTEMPTS = 3


def run_sql(url: URL, statement: str) -> str:
    """Runs one statement on a PostgreSQL server; the first value it gives."""

    async def run() -> str:
        connection = await asyncpg.connect(
            url.set(drivername="postgresql").render_as_string(hide_password=False),
            timeout=10,
            command_timeout=60,
        )
        try:
            return str(await connection.fetchval(statement))
        finally:
            await connection.close(timeout=5)

    # A thread of its own: a fixture may be asked for while a loop runs.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


class PostgresServer:
    """A PostgreSQL server in which we make and drop databases of our own."""

    def __init__(self, admin: URL, source: str) -> None:
        self._admin = admin.set(drivername="postgresql+asyncpg")
        self._made: set[str] = set()
        self.source = source
        self.version = run_sql(self._admin, "SHOW server_version").split()[0]

    def dsn(self, database: str) -> str:
        return self._admin.set(database=database).render_as_string(hide_password=False)

    def create_database(self, *, template: str | None = None) -> str:
        """Makes a database with a name of its own, and gives its DSN."""
        name = f"mlforge_test_{uuid.uuid4().hex}"
        like = f' TEMPLATE "{template}"' if template else ""
        run_sql(self._admin, f'CREATE DATABASE "{name}"{like}')
        self._made.add(name)
        return self.dsn(name)

    def drop_database(self, dsn: str) -> None:
        name = database_name(dsn)
        if name not in self._made:
            raise NotReady(f"{name} was not made by this test run")
        run_sql(self._admin, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._made.discard(name)

    def close(self) -> None:
        for name in tuple(self._made):
            self.drop_database(self.dsn(name))


def database_name(dsn: str) -> str:
    return make_url(dsn).database or ""


class OwnPostgres(PostgresServer):
    """A PostgreSQL server that this process started, and may break."""

    def __init__(self) -> None:
        self._account = unprivileged_account()
        self._scratch = Scratch(self._account)
        self._folder = self._scratch.path
        try:
            binaries = postgres_binaries()
            if self._account and not reachable_by_others(binaries.folder.resolve()):
                binaries = binaries.copy_to(self._folder / "install")
            self._bin = binaries.folder
            self._initialise()
            self._start()
            super().__init__(
                URL.create(
                    "postgresql",
                    username="postgres",
                    host="127.0.0.1",
                    port=self.port,
                    database="postgres",
                ),
                f"throw-away, from {binaries.source}",
            )
        except BaseException:
            self.close()
            raise

    _child: Child | None = None

    def _initialise(self) -> None:
        account = self._account
        done = subprocess.run(
            [
                *(self._bin / "initdb", "--pgdata", self._data, "--username=postgres"),
                *("--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            env=self._environment,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode:
            raise NotReady(f"initdb failed:\n{done.stdout}{done.stderr}")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _environment(self) -> dict[str, str]:
        """Only what the programs need, so that no PG* variable steers them."""
        return {"PATH": os.environ.get("PATH", ""), "HOME": str(self._folder)}

    def _start(self) -> None:
        for _ in range(START_ATTEMPTS):
            self.port = free_port()
            self._child = self._launch()
            try:
                self._wait()
            except NotReady as trouble:
                if "Address already in use" in str(trouble):
                    continue
                raise
            return
        raise NotReady("found no free port for PostgreSQL")

    def _launch(self) -> Child:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        return Child(
            [
                *(self._bin / "postgres", "-D", self._data),
                *(word for pair in options.items() for word in ("-c", "=".join(pair))),
            ],
            log=self._folder / f"postgres-{uuid.uuid4().hex}.log",
            cwd=self._folder,
            env=self._environment,
            account=self._account,
            last_signal=signal.SIGQUIT,
        )

    def _wait(self) -> None:
        child = cast("Child", self._child)

        def answers() -> bool:
            if not child.is_running():
                raise NotReady(f"PostgreSQL ended at start:\n{child.output()[-2000:]}")
            return "ready to accept connections" in child.output()

        wait_until(answers, "PostgreSQL's start")

    @property
    def child(self) -> Child:
        return cast("Child", self._child)

    def kill(self) -> None:
        """SIGKILL to the server and all its backends."""
        self.child.kill()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self.child.freeze()

    def thaw(self) -> None:
        self.child.thaw()

    def restart(self) -> None:
        """Starts the server again on its port, after a kill or from running."""
        if self.child.is_running():
            self.child.stop(signal.SIGINT)
        self._child = self._launch()
        self._wait()

    def close(self) -> None:
        if self._child is not None and self._child.is_running():
            self._child.stop(signal.SIGINT)
        _remove_shared_memory(self._data / "postmaster.pid")
        self._scratch.close()


def _remove_shared_memory(pid_file: Path) -> None:
    """A killed PostgreSQL leaves a System V segment behind; line 7 names it."""
    if not pid_file.exists():
        return
    lines = pid_file.read_text().splitlines()
    if len(lines) > 6 and lines[6].split():
        subprocess.run(
            ["ipcrm", "-m", lines[6].split()[-1]], capture_output=True, check=False
        )
