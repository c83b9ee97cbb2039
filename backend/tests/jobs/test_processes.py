"""Worker processes that are killed, frozen and stopped in the middle of a job."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.database import Database
from app.enums import JobStatus
from app.jobs.arq_doorbell import ArqDoorbell
from app.services.jobs import Jobs
from tests.jobs.work import SOON_S, Bell, add_job, make_jobs, new_job, read, until
from tests.processes import Child
from tests.redis_server import OwnRedis

BACKEND = Path(__file__).parents[2]


class Worker:
    """`tests.jobs.process` in a folder of its own."""

    def __init__(
        self, dsn: str, redis_url: str, folder: Path, *, lease_s: float, sweep_s: float
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.child = Child(
            [
                *(sys.executable, "-m", "tests.jobs.process", dsn, redis_url),
                *(str(lease_s), str(sweep_s), folder),
            ],
            log=folder / "log",
            cwd=BACKEND,
        )

    def runs(self) -> list[bytes]:
        started = self.folder / "started"
        return started.read_bytes().splitlines() if started.exists() else []

    async def has_started(self, jobs: int = 1) -> None:
        async def started() -> bool:
            assert self.child.is_running(), self.child.output()
            return len(self.runs()) >= jobs

        await until(started)

    def release(self) -> None:
        (self.folder / "release").touch()


StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(database_dsn: str, tmp_path: Path) -> Iterator[StartWorker]:
    with ExitStack() as stack:

        def start(
            *, redis_url: str = "", lease_s: float = 1.0, sweep_s: float = 0.1
        ) -> Worker:
            folder = tmp_path / f"worker-{len(list(tmp_path.glob('worker-*')))}"
            worker = Worker(
                database_dsn, redis_url, folder, lease_s=lease_s, sweep_s=sweep_s
            )
            stack.callback(worker.child.kill)
            return worker

        yield start


async def _is_held(database: Database, job_id: str) -> None:
    async def running() -> bool:
        return (await read(database, job_id)).status is JobStatus.RUNNING

    await until(running)


async def test_a_job_of_a_killed_worker_completes_once_elsewhere(
    database: Database, jobs: Jobs, start_worker: StartWorker
) -> None:
    job_id = await add_job(database)
    first = start_worker()
    await first.has_started()
    first.child.kill()
    second = start_worker()
    second.release()
    ended = await jobs.wait(job_id, SOON_S)
    assert ended.status is JobStatus.COMPLETED
    assert (ended.attempt, ended.tries) == (2, 2)
    assert (len(first.runs()), len(second.runs())) == (1, 1)


async def test_a_frozen_worker_that_wakes_late_changes_nothing(
    database: Database, jobs: Jobs, start_worker: StartWorker
) -> None:
    job_id = await add_job(database)
    frozen = start_worker()
    await frozen.has_started()
    async with database.transaction():
        # Frozen inside a transaction of its own, it would keep SQLite's only lock.
        frozen.child.freeze()
    other = start_worker()
    other.release()
    ended = await jobs.wait(job_id, SOON_S)
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 2)
    frozen.release()
    frozen.child.thaw()

    async def noticed() -> bool:
        return "is no longer ours" in frozen.child.output()

    await until(noticed)
    after = await read(database, job_id)
    assert (after.attempt, after.completed_at) == (2, ended.completed_at)


async def test_a_job_that_kills_its_workers_ends_failed(
    database: Database, jobs: Jobs, start_worker: StartWorker
) -> None:
    job_id = await add_job(database, new_job(max_attempts=2))
    for _ in range(2):
        worker = start_worker(lease_s=0.5)
        await worker.has_started()
        worker.child.kill()
    good = await add_job(database)
    last = start_worker()
    last.release()
    assert (await jobs.wait(good, SOON_S)).status is JobStatus.COMPLETED
    ended = await jobs.wait(job_id, SOON_S)
    assert ended.status is JobStatus.FAILED
    assert ended.error_message == "the worker died 2 times while running this job"


async def test_a_stopped_worker_gives_its_job_back_and_exits(
    database: Database, start_worker: StartWorker
) -> None:
    job_id = await add_job(database)
    worker = start_worker(lease_s=60.0)
    await worker.has_started()
    assert worker.child.stop(signal.SIGTERM) == 0
    job = await read(database, job_id)
    assert (job.status, job.tries) == (JobStatus.QUEUED, 0)


async def test_a_stopped_worker_finishes_what_ends_in_time(
    database: Database, start_worker: StartWorker
) -> None:
    job_id = await add_job(database)
    worker = start_worker(lease_s=60.0)
    await worker.has_started()
    worker.child.process.send_signal(signal.SIGTERM)

    async def stopping() -> bool:
        return "jobs in hand may finish" in worker.child.output()

    await until(stopping)
    worker.release()
    assert worker.child.process.wait(SOON_S) == 0
    assert (await read(database, job_id)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("break_redis", [OwnRedis.kill, OwnRedis.freeze])
async def test_a_worker_without_its_redis_goes_on_by_sweep_and_stops_in_time(
    database: Database,
    jobs: Jobs,
    start_worker: StartWorker,
    private_redis: OwnRedis,
    break_redis: Callable[[OwnRedis], None],
) -> None:
    worker = start_worker(redis_url=private_redis.url)
    worker.release()
    first = await add_job(database)
    assert (await jobs.wait(first, SOON_S)).status is JobStatus.COMPLETED
    break_redis(private_redis)
    second = await add_job(database)
    assert (await jobs.wait(second, SOON_S)).status is JobStatus.COMPLETED
    assert worker.child.stop(signal.SIGTERM, timeout_s=8) == 0
    private_redis.thaw()


async def test_jobs_are_found_when_redis_has_forgotten_their_bells(
    database: Database, start_worker: StartWorker, private_redis: OwnRedis
) -> None:
    bell = ArqDoorbell(private_redis.url)
    ids = []
    for _ in range(10):
        ids.append(await add_job(database))
        await bell.ring(ids[-1])
    await bell.close()
    private_redis.flush()
    worker = start_worker(redis_url=private_redis.url)
    worker.release()
    jobs = make_jobs(database, Bell())
    for job_id in ids:
        assert (await jobs.wait(job_id, SOON_S)).status is JobStatus.COMPLETED
    assert len(worker.runs()) == 10
