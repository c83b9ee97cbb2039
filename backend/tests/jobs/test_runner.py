"""The runner: what becomes of a job, whatever its prediction or its worker does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from app.crud import job_leases
from app.crud.jobs import StoredResult
from app.database import Database, Session
from app.enums import JobStatus
from app.errors import (
    DatabaseUnavailable,
    InferenceTimeout,
    InvalidInput,
    Unavailable,
)
from app.services.job_runner import JobRunner
from app.services.jobs import Jobs
from tests.jobs.work import (
    QUICK,
    SOON_S,
    Bell,
    Counting,
    Echo,
    Failing,
    Held,
    claimed,
    predictions,
    read,
    request,
    running,
    until,
)

# A bell that rings is not needed: the sweep finds the job. One that is: no sweep.
NO_SWEEP = replace(QUICK, sweep_s=3600.0)


async def test_a_job_is_run_and_its_answer_kept(database: Database, jobs: Jobs) -> None:
    job = await jobs.submit(request(b'{"input_data":{"x":[1]}}'))
    async with running(database, Echo()):
        ended = await jobs.wait(job.id, SOON_S)
    assert ended.status is JobStatus.COMPLETED
    assert ended.rows_done == 1
    assert ended.inference_time_ms is not None
    stored = await jobs.result(job.id, wait_s=0)
    assert isinstance(stored, StoredResult)
    assert stored.body == b'{"echo":{"input_data":{"x":[1]}}}'
    assert stored.media_type == "application/json"


async def test_a_bell_starts_a_job_without_a_sweep(
    database: Database, jobs: Jobs, bell: Bell
) -> None:
    async with running(database, Echo(), NO_SWEEP) as runner:
        bell.runner = runner
        job = await jobs.submit(request())
        assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED


async def test_a_sweep_finds_a_job_whose_bell_was_lost(
    database: Database, jobs: Jobs
) -> None:
    async with running(database, Echo()):
        job = await jobs.submit(request())
        assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED


async def test_many_runners_run_every_job_once(database: Database, jobs: Jobs) -> None:
    predict = Counting()
    bodies = [f'{{"input_data":{number}}}'.encode() for number in range(30)]
    submitted = [await jobs.submit(request(body)) for body in bodies]
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(running(database, predict))
        for job in submitted:
            assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED
    assert predict.runs == dict.fromkeys(bodies, 1)


async def test_no_more_jobs_run_at_once_than_allowed(
    database: Database, jobs: Jobs
) -> None:
    predict = Held()
    first = await jobs.submit(request())
    second = await jobs.submit(request())
    async with running(database, predict, replace(QUICK, concurrency=1)) as runner:
        await predict.has_started()
        assert runner.is_full()
        assert (await jobs.get(second.id)).status is JobStatus.QUEUED
        predict.release.set()
        assert (await jobs.wait(first.id, SOON_S)).status is JobStatus.COMPLETED
        assert (await jobs.wait(second.id, SOON_S)).status is JobStatus.COMPLETED
    assert predict.calls == 2


async def test_a_callers_fault_fails_the_job_at_once(
    database: Database, jobs: Jobs
) -> None:
    predict = Failing(InvalidInput('input "x": expected float32 [N, 4]'))
    job = await jobs.submit(request())
    async with running(database, predict):
        ended = await jobs.wait(job.id, SOON_S)
    assert ended.status is JobStatus.FAILED
    assert ended.error_code == "invalid_input"
    assert ended.error_message == 'input "x": expected float32 [N, 4]'
    assert predict.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("no memory for the model"),
        InferenceTimeout("ran past 30 s"),
    ],
)
async def test_what_may_pass_is_tried_again(
    database: Database, jobs: Jobs, error: Exception
) -> None:
    predict = Failing(error)
    job = await jobs.submit(request())
    async with running(database, predict, NO_SWEEP):
        ended = await jobs.wait(job.id, SOON_S)
    assert ended.status is JobStatus.COMPLETED
    assert ended.error_message is None
    assert ended.retries == 0
    assert predict.calls == 2


async def test_what_does_not_pass_fails_after_the_last_attempt(
    database: Database, jobs: Jobs
) -> None:
    predict = Failing(*(Unavailable("no memory for the model") for _ in range(9)))
    job = await jobs.submit(request())
    async with running(database, predict):
        ended = await jobs.wait(job.id, SOON_S)
    assert ended.status is JobStatus.FAILED
    assert ended.error_code == "unavailable"
    assert ended.error_message == "no memory for the model"
    assert predict.calls == 3


async def test_an_unexpected_error_is_logged_and_not_shown(
    database: Database, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    job = await jobs.submit(request())
    async with running(database, Failing(RuntimeError("/secret/path"))):
        ended = await jobs.wait(job.id, SOON_S)
    assert ended.status is JobStatus.FAILED
    assert ended.error_code == "internal"
    assert "/secret/path" not in str(ended.error_message)
    assert "/secret/path" in caplog.text
    assert job.id in caplog.text


async def test_a_running_job_ends_when_cancelled(
    database: Database, jobs: Jobs
) -> None:
    predict = Held()
    job = await jobs.submit(request())
    async with running(database, predict):
        await predict.has_started()
        asked = await jobs.cancel(job.id)
        assert asked.cancel_requested
        ended = await jobs.wait(job.id, SOON_S)
        assert ended.status is JobStatus.CANCELLED
        assert ended.completed_at is not None
        async with asyncio.timeout(SOON_S):
            await predict.cancelled.wait()


async def test_a_lease_is_renewed_while_the_job_runs(
    database: Database, jobs: Jobs
) -> None:
    predict = Held()
    job = await jobs.submit(request())
    async with running(database, predict):
        await predict.has_started()
        first = (await read(database, job.id)).lease_until

        async def renewed() -> bool:
            return (await read(database, job.id)).lease_until != first

        await until(renewed)
        predict.release.set()
        assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED
    assert predict.calls == 1


async def test_a_run_whose_lease_was_lost_is_stopped_and_writes_nothing(
    database: Database, jobs: Jobs
) -> None:
    predict = Held()
    job = await jobs.submit(request())
    async with running(database, predict, NO_SWEEP):
        await predict.has_started()
        await _take_over(database, job.id)
        async with asyncio.timeout(SOON_S):
            await predict.cancelled.wait()
    now = await read(database, job.id)
    assert now.status is JobStatus.RUNNING
    assert now.lease_owner == "other"


async def test_jobs_left_by_a_dead_worker_are_finished_by_another(
    database: Database, jobs: Jobs
) -> None:
    job = await jobs.submit(request())
    await claimed(database, owner="dead", lease_s=-1.0)
    async with running(database, Echo()):
        assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED


async def test_a_job_that_kills_every_worker_fails_and_the_others_run(
    database: Database, jobs: Jobs
) -> None:
    poison = await jobs.submit(request())
    for _ in range(3):
        await claimed(database, owner="dead", lease_s=-1.0)
    good = await jobs.submit(request())
    async with running(database, Echo()):
        assert (await jobs.wait(good.id, SOON_S)).status is JobStatus.COMPLETED
        ended = await jobs.wait(poison.id, SOON_S)
    assert ended.status is JobStatus.FAILED
    assert ended.error_message == "the worker died 3 times while running this job"


async def test_a_stopping_runner_lets_a_job_finish(
    database: Database, jobs: Jobs
) -> None:
    predict = Held()
    job = await jobs.submit(request())
    later = await _submit_and_stop(
        jobs, JobRunner(database, predictions(database, predict), QUICK), predict
    )
    assert (await jobs.get(job.id)).status is JobStatus.COMPLETED
    assert (await jobs.get(later)).status is JobStatus.QUEUED


async def _submit_and_stop(jobs: Jobs, runner: JobRunner, predict: Held) -> str:
    """Stops the runner in its job, submits another, lets the first one end."""
    async with runner.running():
        await predict.has_started()
        runner.stop()
        later = await jobs.submit(request())
        predict.release.set()
    return later.id


async def test_a_stopping_runner_gives_back_what_does_not_end_in_time(
    database: Database, jobs: Jobs
) -> None:
    predict = Held()
    job = await jobs.submit(request())
    async with running(database, predict, replace(QUICK, grace_s=0.05)):
        await predict.has_started()
    released = await read(database, job.id)
    assert released.status is JobStatus.QUEUED
    assert released.tries == 0
    assert released.lease_owner is None
    async with running(database, Echo()):
        assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED


async def test_a_runner_outlives_the_databases_absence(
    database_dsn: str, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    job = await jobs.submit(request())
    outage = Outage(database_dsn)
    async with running(outage, Echo()):
        async with asyncio.timeout(SOON_S):
            await outage.noticed.wait()
        outage.over = True
        assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED
    await outage.close()
    assert "looking for jobs failed" in caplog.text


class Outage(Database):
    """A database that is away until it is `over`."""

    over = False

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.noticed = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        if not self.over:
            self.noticed.set()
            raise DatabaseUnavailable("the database does not answer")
        async with super().transaction() as db:
            yield db


async def _take_over(database: Database, job_id: str) -> None:
    """What another worker does once the lease has run out."""
    owner = (await read(database, job_id)).lease_owner
    assert owner is not None
    async with database.transaction() as db:
        await job_leases.renew(db, owner, [job_id], -1.0)
        assert await job_leases.claim(db, "other", 30.0) is not None
