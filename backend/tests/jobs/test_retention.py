"""Old jobs go with their files; what is young or under way stays."""

from pathlib import Path

from app.crud import jobs as crud
from app.services.job_retention import JobRetention
from tests.jobs.files import Desk, jobs_in
from tests.jobs.work import absent_id, request


def retention(desk: Desk, *, days: int = 30) -> JobRetention:
    return JobRetention(desk.database, desk.files, days=days, grace_s=0)


async def count(desk: Desk) -> int:
    async with desk.database.reading() as db:
        return await crud.count(db, crud.JobFilter())


async def test_jobs_that_ended_long_ago_go_with_their_files(
    desk: Desk, data_dir: Path
) -> None:
    job = await desk.submit()
    prediction = await desk.jobs.submit(request())
    async with desk.worker():
        await desk.ended(job)
        await desk.ended(prediction)
    await retention(desk).remove_ended(3600)
    assert await count(desk) == 2
    await retention(desk).remove_ended(-1)
    assert await count(desk) == 0
    assert jobs_in(data_dir) == []


async def test_jobs_under_way_stay(desk: Desk, data_dir: Path) -> None:
    job = await desk.submit()
    await desk.step()
    await desk.jobs.submit(request())
    await retention(desk).remove_ended(-1)
    assert await count(desk) == 2
    assert jobs_in(data_dir) == [job.id]


async def test_a_retried_job_counts_as_under_way(desk: Desk) -> None:
    job = await desk.submit()
    await desk.jobs.cancel(job.id)
    await desk.jobs.retry(job.id)
    await retention(desk).remove_ended(-1)
    assert (await desk.jobs.get(job.id)).id == job.id


async def test_folders_of_no_job_are_swept_and_those_of_jobs_are_not(
    desk: Desk, data_dir: Path
) -> None:
    job = await desk.submit()
    (data_dir / "jobs" / absent_id()).mkdir()
    await retention(desk, days=0).clean()
    assert jobs_in(data_dir) == [job.id]
