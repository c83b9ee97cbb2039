"""Jobs to run, and predictions that say when they run."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from app.artifacts.job_files import JobFiles
from app.crud import job_leases
from app.crud import jobs as crud
from app.crud.job_leases import Claimed
from app.crud.jobs import NewJob
from app.database import Database
from app.models.job import Job
from app.services.file_work import FileWork
from app.services.job_runner import JobRunner, Perform, RunnerLimits
from app.services.job_watch import JobWatch
from app.services.job_work import JobWork, Predict
from app.services.jobs import JobRequest, Jobs, PinnedVersion
from tests.jobs.numbers import NumberScoring

SOON_S = 45.0
VERSION_ID = "7d0b4fb1-6d5a-4d8e-9a0b-1f2e3d4c5b6a"
QUICK = RunnerLimits(
    concurrency=2, lease_s=3.0, sweep_s=0.2, backoff_s=0.01, grace_s=5.0
)


def new_job(
    *,
    priority: int = 1,
    max_attempts: int = 3,
    payload: bytes = b'{"input_data": 1}',
    name: str = "iris",
    version: str = "1.0.0",
    version_id: str = VERSION_ID,
) -> NewJob:
    return NewJob(
        version_id=version_id,
        model_name=name,
        model_version=version,
        payload=payload,
        priority=priority,
        max_attempts=max_attempts,
        rows_total=1,
    )


async def add_job(database: Database, new: NewJob | None = None) -> str:
    async with database.transaction() as db:
        job = await crud.add(db, new or new_job())
    assert job is not None
    return job.id


async def claim(
    database: Database, *, owner: str = "worker", lease_s: float = 30.0
) -> Claimed | None:
    async with database.transaction() as db:
        return await job_leases.claim(db, owner, lease_s)


async def claimed(
    database: Database, *, owner: str = "worker", lease_s: float = 30.0
) -> Claimed:
    found = await claim(database, owner=owner, lease_s=lease_s)
    assert found is not None
    return found


async def read(database: Database, job_id: str) -> Job:
    async with database.reading() as db:
        job = await crud.find(db, job_id)
    assert job is not None
    return job


class Bell:
    """A doorbell that notes who rang, and wakes a runner where there is one."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self.runner: JobRunner | None = None

    async def ring(self, job_id: str) -> None:
        self.rung.append(job_id)
        if self.runner is not None:
            self.runner.wake()

    async def close(self) -> None:
        return


class Echo:
    """Answers at once with what came."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    async def __call__(self, version_id: str, body: bytes) -> bytes:
        self.calls.append(body)
        return b'{"echo":' + body + b"}"


class Held:
    """Answers when let: `started` is set by a call, `release` ends it."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.calls = 0

    async def __call__(self, version_id: str, body: bytes) -> bytes:
        self.calls += 1
        self.started.set()
        try:
            async with asyncio.timeout(2 * SOON_S):
                await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b"{}"

    async def has_started(self) -> None:
        async with asyncio.timeout(SOON_S):
            await self.started.wait()


class Failing:
    """Raises each error in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls = 0

    async def __call__(self, version_id: str, body: bytes) -> bytes:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return b"{}"


class Counting:
    """Counts how often each body ran; gives way so that runs interleave."""

    def __init__(self) -> None:
        self.runs: Counter[bytes] = Counter()

    async def __call__(self, version_id: str, body: bytes) -> bytes:
        self.runs[body] += 1
        await asyncio.sleep(0)
        return body


async def accept(ref: str, body: bytes) -> PinnedVersion:
    name, _, version = ref.partition(":")
    return PinnedVersion(VERSION_ID, name, version or "1.0.0")


def make_jobs(database: Database, bell: Bell, watch: JobWatch | None = None) -> Jobs:
    return Jobs(database, bell, accept, watch or JobWatch(), max_attempts=3)


def request(payload: bytes = b'{"input_data":{}}', ref: str = "iris") -> JobRequest:
    return JobRequest(ref, payload, rows_total=1)


def predictions(
    database: Database, predict: Predict, folder: Path = Path("nowhere")
) -> Perform:
    """Work that knows predictions, and files of numbers in `folder`."""
    files = FileWork(database, NumberScoring(), JobFiles(folder))
    return JobWork(predict, files).run


@asynccontextmanager
async def running(
    database: Database, predict: Predict, limits: RunnerLimits = QUICK
) -> AsyncIterator[JobRunner]:
    runner = JobRunner(database, predictions(database, predict), limits)
    async with runner.running():
        yield runner


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON_S):
        while not await condition():  # noqa: ASYNC110 - a row sets no event
            await asyncio.sleep(0.02)


def absent_id() -> str:
    return str(uuid4())
