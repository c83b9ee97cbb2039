"""What callers do with jobs: submit, look, wait, cancel, retry, delete."""

import asyncio

import pytest

from app.crud import job_outcomes
from app.database import Database
from app.enums import JobStatus, Priority
from app.errors import InvalidField, InvalidInput, JobNotFound, StateForbids
from app.models.job import Job
from app.services.job_runner import JobRunner
from app.services.job_watch import JobWatch
from app.services.jobs import JobRequest, Jobs, PinnedVersion, priority_of
from tests.jobs.work import (
    QUICK,
    SOON_S,
    VERSION_ID,
    Bell,
    Echo,
    Held,
    absent_id,
    add_job,
    claimed,
    make_jobs,
    new_job,
    predictions,
    request,
    running,
)


async def test_a_new_job_is_queued_on_the_version_it_was_checked_with(
    jobs: Jobs, bell: Bell
) -> None:
    job = await jobs.submit(
        JobRequest("iris:2.0.0", b"{}", rows_total=7, priority=Priority.HIGH)
    )
    assert job.status is JobStatus.QUEUED
    assert (job.version_id, job.model_name, job.model_version) == (
        VERSION_ID,
        "iris",
        "2.0.0",
    )
    assert priority_of(job) is Priority.HIGH
    assert (job.rows_total, job.rows_done, job.retries) == (7, 0, 0)
    assert bell.rung == [job.id]


async def test_the_row_is_there_when_the_bell_rings(database: Database) -> None:
    class Looking(Bell):
        async def ring(self, job_id: str) -> None:
            self.rung.append((await jobs.get(job_id)).id)

    bell = Looking()
    jobs = make_jobs(database, bell)
    job = await jobs.submit(request())
    assert bell.rung == [job.id]


async def test_wrong_input_leaves_nothing_behind(
    database: Database, bell: Bell
) -> None:
    async def refuse(ref: str, body: bytes) -> PinnedVersion:
        raise InvalidInput('input "x" is missing')

    jobs = Jobs(database, bell, refuse, JobWatch())
    with pytest.raises(InvalidInput):
        await jobs.submit(request())
    assert bell.rung == []
    assert (await jobs.list_jobs(None, None, page=1, page_size=10)).total == 0


@pytest.mark.parametrize("bad_id", ["nonsense", "", "7d0b", "x" * 500, "%00"])
async def test_what_is_no_id_names_no_job(jobs: Jobs, bad_id: str) -> None:
    with pytest.raises(JobNotFound):
        await jobs.get(bad_id)


async def test_an_unknown_job_is_not_found_by_any_call(jobs: Jobs) -> None:
    for call in (jobs.get, jobs.cancel, jobs.retry, jobs.delete):
        with pytest.raises(JobNotFound):
            await call(absent_id())
    with pytest.raises(JobNotFound):
        await jobs.result(absent_id(), wait_s=5)


async def test_a_list_is_newest_first_in_pages(database: Database, jobs: Jobs) -> None:
    ids = [await add_job(database) for _ in range(5)]
    first = await jobs.list_jobs(None, None, page=1, page_size=2)
    last = await jobs.list_jobs(None, None, page=3, page_size=2)
    assert first.total == last.total == 5
    assert [job.id for job in first.items] == [ids[4], ids[3]]
    assert [job.id for job in last.items] == [ids[0]]


async def test_a_list_is_filtered_by_state_and_model(
    database: Database, jobs: Jobs
) -> None:
    old = await add_job(database, new_job(version="1.0.0", version_id=absent_id()))
    new = await add_job(database, new_job(version="2.0.0"))
    other = await add_job(database, new_job(name="wine", version_id=absent_id()))
    await jobs.cancel(other)

    async def found(status: JobStatus | None, ref: str | None) -> set[str]:
        page = await jobs.list_jobs(status, ref, page=1, page_size=10)
        assert page.total == len(page.items)
        return {job.id for job in page.items}

    assert await found(None, "iris") == {old, new}
    assert await found(None, "iris:2.0.0") == {new}
    assert await found(None, VERSION_ID) == {new}
    assert await found(JobStatus.CANCELLED, None) == {other}
    assert await found(JobStatus.CANCELLED, "iris") == set()


@pytest.mark.parametrize("ref", ["iris@champion", "no spaces", ""])
async def test_a_filter_that_names_no_version_says_what_does(
    jobs: Jobs, ref: str
) -> None:
    with pytest.raises(InvalidField, match="model_id"):
        await jobs.list_jobs(None, ref, page=1, page_size=10)


async def test_a_result_is_awaited_only_as_long_as_asked(jobs: Jobs) -> None:
    job = await jobs.submit(request())
    found = await jobs.result(job.id, wait_s=0.01)
    assert isinstance(found, Job)
    assert found.status is JobStatus.QUEUED


async def test_a_waiting_caller_hears_of_the_end_in_its_own_process(
    database: Database, bell: Bell
) -> None:
    watch = JobWatch()
    jobs = make_jobs(database, bell, watch)
    runner = JobRunner(
        database, predictions(database, Echo()), QUICK, ended=watch.ended
    )
    job = await jobs.submit(request())
    with watch.watching(job.id) as ended:
        async with runner.running(), asyncio.timeout(SOON_S):
            await ended.wait()
    assert (await jobs.get(job.id)).status is JobStatus.COMPLETED


async def test_a_queued_job_is_cancelled_at_once(jobs: Jobs) -> None:
    job = await jobs.submit(request())
    cancelled = await jobs.cancel(job.id)
    assert cancelled.status is JobStatus.CANCELLED
    assert cancelled.completed_at is not None
    found = await jobs.result(job.id, wait_s=0)
    assert isinstance(found, Job)
    assert found.status is JobStatus.CANCELLED


async def test_a_running_job_is_only_asked_to_end(
    database: Database, jobs: Jobs
) -> None:
    job_id = await add_job(database)
    await claimed(database)
    for _ in range(2):
        asked = await jobs.cancel(job_id)
        assert asked.status is JobStatus.RUNNING
        assert asked.cancel_requested


async def test_a_job_whose_worker_died_is_cancelled_at_once(
    database: Database, jobs: Jobs
) -> None:
    job_id = await add_job(database)
    stale = await claimed(database, lease_s=-1.0)
    assert (await jobs.cancel(job_id)).status is JobStatus.CANCELLED
    async with database.transaction() as db:
        assert not await job_outcomes.fail(db, stale.lease, code="late", message="late")


async def test_a_failed_jobs_result_says_why(database: Database, jobs: Jobs) -> None:
    job_id = await _failed(database)
    found = await jobs.result(job_id, wait_s=0)
    assert isinstance(found, Job)
    assert found.status is JobStatus.FAILED
    assert (found.error_code, found.error_message) == ("invalid_input", "x is missing")


async def test_a_failed_job_can_be_retried_from_the_start(
    database: Database, jobs: Jobs, bell: Bell
) -> None:
    job_id = await _failed(database)
    again = await jobs.retry(job_id)
    assert again.status is JobStatus.QUEUED
    assert (again.retries, again.tries) == (1, 0)
    assert (again.error_code, again.started_at, again.completed_at) == (None,) * 3
    assert bell.rung == [job_id]
    async with running(database, Echo()):
        assert (await jobs.wait(job_id, SOON_S)).status is JobStatus.COMPLETED


async def test_a_cancelled_job_can_be_retried(database: Database, jobs: Jobs) -> None:
    job = await jobs.submit(request())
    await jobs.cancel(job.id)
    assert not (await jobs.retry(job.id)).cancel_requested
    async with running(database, Echo()):
        assert (await jobs.wait(job.id, SOON_S)).status is JobStatus.COMPLETED


async def test_the_state_forbids_what_makes_no_sense(
    database: Database, jobs: Jobs
) -> None:
    predict = Held()
    job = await jobs.submit(request())
    with pytest.raises(StateForbids, match="is queued"):
        await jobs.retry(job.id)
    async with running(database, predict):
        await predict.has_started()
        with pytest.raises(StateForbids, match="cancel it first"):
            await jobs.delete(job.id)
        predict.release.set()
        await jobs.wait(job.id, SOON_S)
    with pytest.raises(StateForbids, match="has ended as completed"):
        await jobs.cancel(job.id)
    with pytest.raises(StateForbids, match="is completed"):
        await jobs.retry(job.id)


async def test_an_ended_job_can_be_deleted(jobs: Jobs) -> None:
    job = await jobs.submit(request())
    await jobs.cancel(job.id)
    await jobs.delete(job.id)
    with pytest.raises(JobNotFound):
        await jobs.get(job.id)


async def _failed(database: Database) -> str:
    job_id = await add_job(database)
    lease = (await claimed(database)).lease
    async with database.transaction() as db:
        await job_outcomes.fail(db, lease, code="invalid_input", message="x is missing")
    return job_id
