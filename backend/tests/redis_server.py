"""Redis for the tests: one that we start and may break, or a given one."""

import random
import signal
import uuid
from itertools import count
from typing import Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.engine import URL, make_url

from tests.binaries import redis_binaries
from tests.processes import (
    Child,
    NotReady,
    Scratch,
    free_port,
    wait_until,
)

START_ATTEMPTS = 3
OWN_DATABASES = 64


class RedisServer(Protocol):
    source: str
    version: str

    def new_url(self) -> str:
        """The URL of an empty database that no other test uses at this time."""
        ...

    def clean(self, url: str) -> None:
        """Removes what a test left in the database of `url`."""
        ...

    def close(self) -> None: ...


def _redis_version(client: redis.Redis) -> str:
    info = cast("dict[str, object]", client.info("server"))
    return str(info["redis_version"])


def redis_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)


class Claim:
    """One Redis database kept for this test run, while its connection lives.

    The claim is the connection's name, which every client can see, so the database
    itself stays empty. Who finds another of that name gives way, so of two that
    claim at once at most one stays.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._name = f"mlforge-tests-db-{make_url(url).database}"
        self._client = redis.Redis.from_url(
            url,
            single_connection_client=True,
            socket_timeout=5,
            # A new connection would not bear the name.
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
        )

    def take(self) -> bool:
        """Whether the database is this run's now: it was free, and empty."""
        self._client.client_setname(self._name)
        taken = len(self._holders()) == 1 and self._client.dbsize() == 0
        if not taken:
            self.release()
        return taken

    def check(self) -> None:
        try:
            kept = self._client.client_getname() == self._name
        except redis.ConnectionError:
            kept = False
        if not kept:
            raise NotReady("the Redis database is no longer this test run's own")

    def release(self) -> None:
        self._client.close()

    def _holders(self) -> list[object]:
        clients = cast("list[dict[str, object]]", self._client.client_list())
        return [client for client in clients if client["name"] == self._name]


class GivenRedis:
    """One claimed database of a Redis server that others may be using."""

    def __init__(self, url: str) -> None:
        self.source = "TEST_REDIS_URL"
        self._claim = self._take(make_url(url))
        with redis_client(self._claim.url) as client:
            self.version = _redis_version(client)

    def _take(self, base: URL) -> Claim:
        named = [base.database] if base.database else []
        others = [str(number) for number in range(16)]
        random.shuffle(others)  # Runs that begin together shall not collide for ever.
        for number in [*named, *others]:
            url = base.set(database=number).render_as_string(hide_password=False)
            claim = Claim(url)
            if claim.take():
                return claim
        raise NotReady(
            "no database of TEST_REDIS_URL is empty and free; a test run that was "
            "killed may have left keys, which can be flushed by hand"
        )

    def new_url(self) -> str:
        self.clean(self._claim.url)
        return self._claim.url

    def clean(self, url: str) -> None:
        self._claim.check()
        with redis_client(url) as client:
            client.flushdb()

    def close(self) -> None:
        self.clean(self._claim.url)
        self._claim.release()


class OwnRedis:
    """A Redis server that this process started, and may break."""

    def __init__(self) -> None:
        binaries = redis_binaries()
        self.source = f"throw-away, from {binaries.source}"
        self._program = binaries.folder / "redis-server"
        self._scratch = Scratch(None)
        self._folder = self._scratch.path
        self._numbers = count()
        try:
            self._start()
            with redis_client(self.url) as client:
                self.version = _redis_version(client)
        except BaseException:
            self.close()
            raise

    child: Child | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def new_url(self) -> str:
        number = next(self._numbers) % OWN_DATABASES
        url = f"redis://127.0.0.1:{self.port}/{number}"
        self.clean(url)
        return url

    def clean(self, url: str) -> None:
        with redis_client(url) as client:
            client.flushdb()

    def flush(self) -> None:
        """FLUSHALL, as an operator's slip would."""
        with redis_client(self.url) as client:
            client.flushall()

    def kill(self) -> None:
        self._running().kill()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._running().freeze()

    def thaw(self) -> None:
        self._running().thaw()

    def restart(self) -> None:
        """Starts the server again, empty, on its port."""
        if self._running().is_running():
            self._running().stop(signal.SIGTERM)
        self._launch()

    def close(self) -> None:
        if self.child is not None and self.child.is_running():
            self.child.kill()
        self._scratch.close()

    def _running(self) -> Child:
        return cast("Child", self.child)

    def _start(self) -> None:
        for _ in range(START_ATTEMPTS):
            self.port = free_port()
            try:
                self._launch()
            except NotReady as trouble:
                if "Address already in use" in str(trouble):
                    continue
                raise
            return
        raise NotReady("found no free port for Redis")

    def _launch(self) -> None:
        child = self.child = Child(
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", self._folder),
                *("--databases", str(OWN_DATABASES)),
            ],
            log=self._folder / f"redis-{uuid.uuid4().hex}.log",
            cwd=self._folder,
        )

        def answers() -> bool:
            if not child.is_running():
                raise NotReady(f"Redis ended at start:\n{child.output()[-2000:]}")
            return "Ready to accept connections" in child.output()

        wait_until(answers, "Redis's start")
