"""The test servers themselves: they are real, isolated, breakable, and end."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
import redis.exceptions
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.database import Database
from tests.binaries import Binaries, find_binaries, postgres_binaries
from tests.postgres_server import PostgresServer, database_name, run_sql
from tests.processes import Child, NotReady, Scratch, reachable_by_others, wait_until
from tests.redis_server import GivenRedis, redis_client
from tests.servers import OwnPostgres, OwnRedis, RedisServer

BACKEND = Path(__file__).parents[1]


def keys(url: str) -> set[bytes]:
    with redis_client(url) as client:
        return set(client.keys("*"))


def databases_of(server: PostgresServer) -> set[str]:
    listing = "SELECT string_agg(datname, ' ') FROM pg_database"
    return set(run_sql(make_url(server.dsn("postgres")), listing).split())


async def test_a_migrated_database_has_the_tables(database: Database) -> None:
    async with database.reading() as db:
        found = await db.execute(text("SELECT count(*) FROM alembic_version"))
    assert found.scalar_one() == 1


def test_two_tests_never_share_a_database(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    other = postgres_server.create_database()
    try:
        assert database_name(other) != database_name(postgres_dsn)
    finally:
        postgres_server.drop_database(other)
    assert database_name(other) not in databases_of(postgres_server)


def test_a_database_that_the_run_did_not_make_is_never_dropped(
    postgres_server: PostgresServer,
) -> None:
    with pytest.raises(NotReady, match="was not made by this test run"):
        postgres_server.drop_database(postgres_server.dsn("postgres"))


def test_a_given_postgresql_keeps_what_was_there_and_loses_what_we_made(
    private_postgres: OwnPostgres,
) -> None:
    before = databases_of(private_postgres)
    given = PostgresServer(make_url(private_postgres.dsn("postgres")), "given")
    given.create_database(template=database_name(given.create_database()))
    assert len(databases_of(private_postgres)) == len(before) + 2
    given.close()
    assert databases_of(private_postgres) == before


def test_a_killed_postgresql_refuses_and_comes_back_with_its_data(
    private_postgres: OwnPostgres,
) -> None:
    url = make_url(private_postgres.create_database())
    run_sql(url, "CREATE TABLE kept (n int)")
    private_postgres.kill()
    with pytest.raises(ConnectionRefusedError):
        run_sql(url, "SELECT 1")
    private_postgres.restart()
    assert run_sql(url, "SELECT count(*) FROM kept") == "0"


async def test_a_frozen_postgresql_does_not_answer_until_thawed(
    private_postgres: OwnPostgres,
) -> None:
    dsn = private_postgres.dsn("postgres").replace("+asyncpg", "")
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        private_postgres.freeze()
        waiting = asyncio.create_task(connection.fetchval("SELECT 7"))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        private_postgres.thaw()
        assert await asyncio.wait_for(waiting, 10) == 7
    finally:
        private_postgres.thaw()
        await connection.close(timeout=5)


def test_a_private_redis_can_be_flushed_frozen_killed_and_restarted(
    private_redis: OwnRedis,
) -> None:
    url = private_redis.new_url()
    with redis_client(url) as client:
        client.set("a", "1")
        private_redis.flush()
        assert client.get("a") is None
    private_redis.freeze()
    with (
        redis.Redis.from_url(url, socket_timeout=0.2) as impatient,
        pytest.raises(redis.exceptions.TimeoutError),
    ):
        impatient.ping()
    private_redis.thaw()
    private_redis.kill()
    with redis_client(url) as client, pytest.raises(redis.exceptions.ConnectionError):
        client.ping()
    private_redis.restart()
    with redis_client(url) as client:
        assert client.ping()


def test_the_redis_of_a_test_begins_empty(
    redis_url: str, redis_server: RedisServer
) -> None:
    assert keys(redis_url) == set()
    with redis_client(redis_url) as client:
        client.set("left-behind", "1")
    redis_server.clean(redis_url)
    assert keys(redis_url) == set()


@pytest.fixture
def shared_redis(private_redis: OwnRedis) -> str:
    """A Redis with another application's data in all databases but 3 and 7."""
    base = private_redis.url.removesuffix("/0")
    for number in set(range(16)) - {3, 7}:
        with redis_client(f"{base}/{number}") as client:
            client.set("precious", "1")
    return base


def test_a_given_redis_is_used_in_an_empty_database_alone(shared_redis: str) -> None:
    given = GivenRedis(shared_redis)
    url = given.new_url()
    assert url.endswith(("/3", "/7"))
    with redis_client(url) as client:
        client.set("ours", "1")
    given.close()
    assert keys(f"{shared_redis}/3") == keys(f"{shared_redis}/7") == set()
    for number in set(range(16)) - {3, 7}:
        assert keys(f"{shared_redis}/{number}") == {b"precious"}


def test_two_runs_on_one_given_redis_never_share_a_database(shared_redis: str) -> None:
    first, second = GivenRedis(shared_redis), GivenRedis(shared_redis)
    assert first.new_url() != second.new_url()
    with pytest.raises(NotReady, match="no database of TEST_REDIS_URL is empty"):
        GivenRedis(shared_redis)
    first.close()
    third = GivenRedis(shared_redis)
    second.close()
    third.close()


def test_a_named_database_is_used_only_if_it_is_empty(shared_redis: str) -> None:
    free, taken = (GivenRedis(f"{shared_redis}/{number}") for number in (7, 5))
    assert free.new_url() == f"{shared_redis}/7"
    assert taken.new_url() == f"{shared_redis}/3"
    free.close()
    taken.close()
    assert keys(f"{shared_redis}/5") == {b"precious"}


def test_a_redis_database_whose_claim_was_lost_is_not_flushed(
    shared_redis: str,
) -> None:
    given = GivenRedis(shared_redis)
    url = given.new_url()
    with redis_client(url) as client:
        client.set("theirs", "1")
        client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(NotReady, match="no longer this test run's own"):
            given.clean(url)
    assert keys(url) == {b"theirs"}


RUN_WITH_BOTH = """
import sys
from tests.servers import Servers
servers = Servers()
print(servers.postgres().child.pid, servers.redis().child.pid, flush=True)
print(servers.postgres()._folder, servers.redis()._folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="children live on elsewhere"
)
def test_a_killed_test_run_leaves_no_server_and_the_next_one_no_folder() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN_WITH_BOTH],
        cwd=BACKEND,
        env={**own_servers_environment(), "PYTHONPATH": str(BACKEND)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        folders = [Path(word) for word in run.stdout.readline().split()]
        family = [psutil.Process(pid) for pid in pids]
        family += [child for one in family for child in one.children(recursive=True)]
        assert len(family) > 2
        run.kill()
    wait_until(
        lambda: not any(process.is_running() for process in family),
        "the end of the killed run's servers",
    )
    Scratch(None).close()
    assert not [folder for folder in folders if folder.exists()]


def own_servers_environment() -> dict[str, str]:
    given = ("TEST_DATABASE_URL", "TEST_REDIS_URL")
    return {key: value for key, value in os.environ.items() if key not in given}


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    child = Child([sys.executable, "-c", stubborn], log=tmp_path / "log", cwd=tmp_path)
    wait_until(lambda: "up" in child.output(), "the child's start")
    with pytest.raises(NotReady, match="SIGTERM did not end"):
        child.stop(signal.SIGTERM, timeout_s=0.1)
    assert not child.is_running()


def test_programs_that_do_not_start_here_are_passed_over(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, status in ((good, 0), (bad, 127)):
        folder.mkdir()
        program = folder / "server"
        program.write_text(f"#!/bin/sh\nexit {status}\n")
        program.chmod(0o755)
    assert find_binaries("server", [bad], [good]) == Binaries(good, "machine")
    with pytest.raises(NotReady, match="no usable server"):
        find_binaries("server", [bad], [])


def test_programs_still_start_where_they_were_copied_to(tmp_path: Path) -> None:
    copied = postgres_binaries().copy_to(tmp_path / "copy")
    assert copied.folder.is_relative_to(tmp_path)
    version = [str(copied.folder / "initdb"), "--version"]
    assert subprocess.run(version, capture_output=True, check=False).returncode == 0


def test_a_folder_under_a_private_one_is_out_of_reach(tmp_path: Path) -> None:
    inner = tmp_path / "private" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not reachable_by_others(inner)
