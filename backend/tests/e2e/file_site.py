"""A server and workers on a PostgreSQL and a Redis that may be broken, and a file to
score whose result is known to the byte."""

import asyncio
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from sqlalchemy.engine import make_url

from tests import graphs
from tests.databases import migrate_in_thread
from tests.live import LiveProcess, LiveServer
from tests.postgres_server import OwnPostgres, run_sql
from tests.processes import wait_until
from tests.redis_server import OwnRedis

JOBS: Final = "/api/v1/jobs"
# Work goes on within 45 s of anything.
SOON_S: Final = 45.0
ENDED: Final = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Numbers:
    """Rows of a CSV file, and what 2x + 1 of their two features gives."""

    rows: int
    chunk_rows: int

    @cached_property
    def content(self) -> bytes:
        lines = (b"%d,%d,%d\n" % (n, n, n % 97) for n in range(self.rows))
        return b"id,a,b\n" + b"".join(lines)

    @cached_property
    def result(self) -> bytes:
        lines = (
            b"%d,%d,%d,%d.0,%d.0,\n" % (n, n, n % 97, 2 * n + 1, 2 * (n % 97) + 1)
            for n in range(self.rows)
        )
        return b"id,a,b,y[0],y[1],error\n" + b"".join(lines)

    @property
    def chunks(self) -> int:
        return -(-self.rows // self.chunk_rows)


class Worker(LiveProcess):
    """`mlforge worker`, known by the name that its leases bear."""

    @cached_property
    def owner(self) -> str:
        self.wait_for_log(" started", timeout_s=SOON_S)
        found = re.search(r"worker ([0-9a-f]{32}) started", self.logs())
        assert found, self.logs()
        return found[1]


class Site:
    """`close` it; what it started ends with it."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self._folder = folder
        self._given = settings
        self._started: list[LiveProcess] = []
        self.postgres = OwnPostgres()
        self.redis = OwnRedis()
        self.dsn = self.postgres.create_database()
        migrate_in_thread(self.dsn)
        self.server = self.start_server()
        file = {"file": ("line.onnx", graphs.affine(width=2, feature_names=["a", "b"]))}
        with self.client() as client:
            taken = client.post("/api/v1/models/upload", files=file)
        assert taken.status_code == 201, taken.text

    @property
    def settings(self) -> dict[str, object]:
        return {
            "database_url": self.dsn,
            "redis_url": self.redis.url,
            "data_dir": self._folder / "data",
            "job_lease_s": 2.0,
            "job_sweep_s": 0.3,
            "inference_threads": 1,
            "access_log": False,
            **self._given,
        }

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.server.url, timeout=60)

    def start_server(self) -> LiveServer:
        self.server = LiveServer(folder=self._folder, settings=self.settings)
        self._started.append(self.server)
        return self.server

    def start_worker(self) -> "Worker":
        worker = Worker(("worker",), folder=self._folder, settings=self.settings)
        self._started.append(worker)
        return worker

    def stop_workers(self) -> None:
        for process in self._started:
            if process is not self.server:
                process.kill()

    def submit(self, numbers: Numbers) -> "FileJob":
        with self.client() as client:
            taken = client.post(
                JOBS,
                files={"file": ("numbers.csv", numbers.content, "text/csv")},
                data={"model_id": "line", "chunk_rows": str(numbers.chunk_rows)},
            )
        assert taken.status_code == 201, taken.text
        return FileJob(self, taken.json()["id"], numbers)

    def ask(self, query: str) -> str:
        return run_sql(make_url(self.dsn), query)

    def open_transactions(self) -> int:
        """How many sessions, of anybody's, are within a transaction."""
        others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
        return int(
            self.ask(
                "SELECT count(*) FROM pg_stat_activity "
                f"WHERE xact_start IS NOT NULL AND {others}"
            )
        )

    def close(self) -> None:
        for process in reversed(self._started):
            process.kill()
        self.redis.close()
        self.postgres.close()


@dataclass(frozen=True, slots=True)
class FileJob:
    site: Site
    id: str
    numbers: Numbers

    @property
    def parts(self) -> Path:
        return Path(str(self.site.settings["data_dir"]), "jobs", self.id, "parts")

    def look(self) -> dict[str, Any]:
        with self.site.client() as client:
            job: dict[str, Any] = client.get(f"{JOBS}/{self.id}").json()
        return job

    def chunks(self, status: str) -> int:
        """As the ledger has it."""
        return self._ledger(f"count(*) FILTER (WHERE status = '{status}')")

    def in_hand(self, worker: Worker) -> int:
        """How many chunks this worker has, as the ledger has it."""
        mine = f"status = 'running' AND lease_owner = '{worker.owner}'"
        return self._ledger(f"count(*) FILTER (WHERE {mine})")

    def redone(self) -> int:
        """How many attempts there were beyond one for each chunk."""
        return self._ledger("sum(attempt) - count(*)")

    def wait_for_chunks(self, count: int) -> None:
        wait_until(
            lambda: self.chunks("done") >= count, f"{count} chunks", timeout_s=SOON_S
        )

    def wait_for_end(self) -> dict[str, Any]:
        wait_until(
            lambda: self.look()["status"] in ENDED, "the job's end", timeout_s=SOON_S
        )
        return self.look()

    def check(self) -> None:
        """Ended in time: no row lost, none repeated, none out of order."""
        ended = self.wait_for_end()
        assert ended["status"] == "completed", ended
        progress = ended["progress"]
        rows = self.numbers.rows
        assert (progress["rows_done"], progress["rows_failed"]) == (rows, 0)
        with self.site.client() as client:
            answer = client.get(f"{JOBS}/{self.id}/result")
        assert answer.status_code == 200, answer.text
        assert answer.content == self.numbers.result

    @contextmanager
    def commits_held(self) -> Iterator[None]:
        """No chunk of this job is committed meanwhile; whoever tries waits."""
        held, release = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=lambda: asyncio.run(_hold(self.site.dsn, self.id, held, release))
        )
        thread.start()
        try:
            assert held.wait(10)
            yield
        finally:
            release.set()
            thread.join(10)

    def commits_waiting(self) -> int:
        return int(
            self.site.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            )
        )

    def _ledger(self, what: str) -> int:
        found = self.site.ask(
            f"SELECT coalesce({what}, 0) FROM job_chunks WHERE job_id = '{self.id}'"
        )
        return int(found)


async def _hold(
    dsn: str, job_id: str, held: threading.Event, release: threading.Event
) -> None:
    url = make_url(dsn).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT id FROM jobs WHERE id = $1 FOR UPDATE", job_id
            )
            held.set()
            await asyncio.to_thread(release.wait, 60)
    finally:
        await connection.close()
