"""What the metrics tell of jobs: counted once, whatever was tried how often."""

import pytest

from app.enums import JobStatus
from app.observability.metrics import Metrics
from app.services.file_work import FileWork
from app.services.job_meter import JobCensus, JobMeter
from app.services.job_runner import JobRunner
from app.services.job_work import JobWork
from tests.jobs.files import Desk
from tests.jobs.numbers import NumberScoring, recipe
from tests.jobs.work import QUICK, Echo, request


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="0")


async def test_rows_chunks_and_retries_are_counted(
    desk: Desk, metrics: Metrics
) -> None:
    await desk.submit(b"1\nbad\n3\n4\n", recipe=recipe(chunk_rows=2))
    await desk.step()
    await desk.claim("dead", -1.0)
    work = FileWork(desk.database, NumberScoring(), desk.files)
    runner = JobRunner(
        desk.database, JobWork(Echo(), work).run, QUICK, meter=JobMeter(metrics)
    )
    job = (await desk.jobs.list_jobs(None, None, page=1, page_size=1)).items[0]
    async with runner.running():
        assert (await desk.ended(job)).status is JobStatus.COMPLETED
    value = metrics.registry.get_sample_value
    rows = "mlforge_job_rows_total"
    assert value(rows, {"outcome": "scored"}) == 3
    assert value(rows, {"outcome": "failed"}) == 1
    assert value("mlforge_job_chunk_duration_seconds_count") == 2
    assert value("mlforge_job_retries_total") == 1


async def test_jobs_that_wait_and_run_are_counted(desk: Desk, metrics: Metrics) -> None:
    await desk.submit()
    await desk.step()
    await desk.jobs.submit(request())
    await desk.jobs.submit(request())
    ended = await desk.jobs.submit(request())
    await desk.jobs.cancel(ended.id)
    await JobCensus(desk.database, metrics).take()
    value = metrics.registry.get_sample_value
    assert value("mlforge_jobs", {"status": "queued"}) == 2
    assert value("mlforge_jobs", {"status": "running"}) == 1
