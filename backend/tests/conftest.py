"""Fixtures: real servers, migrated databases, a running app, a served process."""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import ASGIApp

from app.artifacts.local import LocalStore
from app.config import Settings
from app.database import Database
from app.main import create_app
from tests.asgi import running
from tests.completeness import faults
from tests.databases import MigratedDatabases
from tests.live import LiveProcess, LiveServer
from tests.network import stay_on_this_machine
from tests.servers import OwnPostgres, OwnRedis, PostgresServer, RedisServer, Servers

SERVERS = pytest.StashKey[Servers]()
DIALECTS = ("sqlite", "postgresql")
USED = "mlforge_servers"
# The two ways to run MLForge: all in one process, or with both real servers.
DEPLOYMENTS = ("embedded", "distributed")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVERS] = Servers()
    stay_on_this_machine()
    heed_interrupts()
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)


def heed_interrupts() -> None:
    """A shell's background job is born deaf to SIGINT, and so are its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVERS].close()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[USED] = session.config.stash[SERVERS].used()
    elif exitstatus == pytest.ExitCode.OK and faults(
        session.config, session.config.stash[SERVERS]
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of a run in parallel has ended: its servers count for the run."""
    node.config.stash[SERVERS].also_used(
        getattr(node, "workeroutput", {}).get(USED, {})
    )


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    servers = config.stash[SERVERS]
    for fault in faults(config, servers):
        terminalreporter.write_line(f"INCOMPLETE: {fault}", red=True)
    terminalreporter.write_line(f"MLForge ran against: {servers.describe()}")


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """A command that ran in this process has set the logging of all of it."""
    root = logging.getLogger()
    before = [
        (logger, logger.handlers[:], logger.level, logger.propagate)
        for logger in (root, *root.manager.loggerDict.values())
        if isinstance(logger, logging.Logger)
    ]
    yield
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for logger, handlers, level, propagate in before:
        logger.handlers = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers:
    return request.config.stash[SERVERS]


@pytest.fixture(scope="session")
def postgres_server(servers: Servers) -> PostgresServer:
    """The run's PostgreSQL, for databases of one's own; never to be disturbed."""
    return servers.postgres()


@pytest.fixture(scope="session")
def redis_server(servers: Servers) -> RedisServer:
    """The run's Redis, for databases of one's own; never to be disturbed."""
    return servers.redis()


@pytest.fixture
def private_postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL of this test alone, to kill and to freeze."""
    server = OwnPostgres()
    yield server
    server.close()


@pytest.fixture
def private_redis() -> Iterator[OwnRedis]:
    """A Redis of this test alone, to kill, to freeze and to flush."""
    server = OwnRedis()
    yield server
    server.close()


@pytest.fixture(scope="session")
def databases(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> MigratedDatabases:
    return MigratedDatabases(servers, tmp_path_factory.mktemp("databases"))


@pytest.fixture
def sqlite_dsn(databases: MigratedDatabases, tmp_path: Path) -> Iterator[str]:
    """A migrated SQLite file of this test alone."""
    with databases.sqlite(tmp_path) as dsn:
        yield dsn


@pytest.fixture
def postgres_dsn(databases: MigratedDatabases) -> Iterator[str]:
    """A migrated PostgreSQL database of this test alone."""
    with databases.postgres() as dsn:
        yield dsn


@pytest.fixture(params=DIALECTS)
def database_dsn(
    request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path
) -> Iterator[str]:
    """A migrated database of this test alone, on SQLite and on PostgreSQL."""
    with (
        databases.sqlite(tmp_path)
        if request.param == "sqlite"
        else databases.postgres()
    ) as dsn:
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = Database(database_dsn)
    yield opened
    await opened.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """An empty Redis database of this test alone."""
    url = redis_server.new_url()
    yield url
    redis_server.clean(url)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "data")


MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings that read neither the environment nor a `.env` file."""

    def make(**values: Any) -> Settings:
        # Processes that are ready for what few tests do cost time; `e2e` has them.
        defaults = {
            "data_dir": tmp_path / "data",
            "port": 0,
            "job_process": False,
            "validation_spares": 0,
        }
        return Settings(_env_file=None, **{**defaults, **values})

    return make


@pytest.fixture(params=DEPLOYMENTS)
def deployment(
    request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """The settings of one way to run MLForge, on a migrated database."""
    with ExitStack() as stack:
        if request.param == "embedded":
            (tmp_path / "data").mkdir()
            yield {
                "database_url": stack.enter_context(
                    databases.sqlite(tmp_path / "data")
                ),
                "redis_url": "",
            }
        else:
            yield {
                "database_url": stack.enter_context(databases.postgres()),
                "redis_url": request.getfixturevalue("redis_url"),
            }


@pytest.fixture
def settings(make_settings: MakeSettings, deployment: dict[str, str]) -> Settings:
    return make_settings(**deployment)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[ASGIApp]:
    """The application, started."""
    async with running(create_app(settings)) as application:
        yield application


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the application in this process."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://mlforge.test"
    ) as client:
        yield client


StartServer = Callable[..., LiveServer]
StartProcess = Callable[..., LiveProcess]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts `mlforge serve` with settings; all in one process unless told."""
    with ExitStack() as stack:

        def start(*arguments: str, **settings: object) -> LiveServer:
            server = LiveServer(*arguments, folder=tmp_path, settings=settings)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """Starts any `mlforge` command that runs until stopped, such as `worker`."""
    with ExitStack() as stack:

        def start(*command: str, **settings: object) -> LiveProcess:
            process = LiveProcess(command, folder=tmp_path, settings=settings)
            stack.callback(process.close)
            return process

        yield start


@pytest.fixture
def live_server(start_server: StartServer, deployment: dict[str, str]) -> LiveServer:
    """A served MLForge, in both deployments."""
    return start_server(**deployment)
