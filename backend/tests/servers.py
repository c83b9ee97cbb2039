"""The real servers a test run uses: started when first needed, always ended.

A server we start is ours to kill, freeze and flush. In a server given by
`TEST_DATABASE_URL` or `TEST_REDIS_URL` we touch only databases we made, and one
Redis database that was empty when we claimed it.
"""

import os
import sqlite3

from sqlalchemy.engine import make_url

from tests.postgres_server import OwnPostgres, PostgresServer
from tests.redis_server import GivenRedis, OwnRedis, RedisServer

__all__ = ["OwnPostgres", "OwnRedis", "PostgresServer", "RedisServer", "Servers"]

NAMES = ("PostgreSQL", "Redis")


class Servers:
    """The PostgreSQL and the Redis of one test run."""

    def __init__(self) -> None:
        self._postgres: PostgresServer | None = None
        self._redis: RedisServer | None = None
        self._elsewhere: dict[str, str] = {}

    def postgres(self) -> PostgresServer:
        if self._postgres is None:
            given = os.environ.get("TEST_DATABASE_URL")
            self._postgres = (
                PostgresServer(make_url(given), "TEST_DATABASE_URL")
                if given
                else OwnPostgres()
            )
        return self._postgres

    def redis(self) -> RedisServer:
        if self._redis is None:
            given = os.environ.get("TEST_REDIS_URL")
            self._redis = GivenRedis(given) if given else OwnRedis()
        return self._redis

    def used(self) -> dict[str, str]:
        """What tests asked for, here and in the workers heard of: name -> version."""
        servers = {"PostgreSQL": self._postgres, "Redis": self._redis}
        here = {
            name: f"{server.version} ({server.source})"
            for name, server in servers.items()
            if server is not None
        }
        return self._elsewhere | here

    def also_used(self, elsewhere: dict[str, str]) -> None:
        """What a worker process of this run says it used."""
        self._elsewhere |= elsewhere

    def unused(self) -> list[str]:
        """The servers that no test asked for."""
        return [name for name in NAMES if name not in self.used()]

    def describe(self) -> str:
        used = self.used()
        words = [
            f"{name} {used[name]}" if name in used else f"no {name}" for name in NAMES
        ]
        return ", ".join([f"SQLite {sqlite3.sqlite_version}", *words])

    def close(self) -> None:
        try:
            if self._postgres is not None:
                self._postgres.close()
        finally:
            if self._redis is not None:
                self._redis.close()
