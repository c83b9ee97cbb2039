"""Workers whose store of files is another, missing, full or forbidden."""

import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.artifacts.job_files import JobFiles
from app.enums import JobStatus
from app.errors import InsufficientStorage
from app.services import job_verdicts
from app.services.job_runner import JobRunner
from tests.jobs.files import NUMBERS, Desk, make_desk
from tests.jobs.numbers import NumberScoring, doubled, recipe
from tests.jobs.work import QUICK, read, until

SOON = replace(QUICK, sweep_s=0.1, store_s=0.0)
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
FORBIDDEN = PermissionError(errno.EACCES, "Permission denied", "/secret/path")
STALE = OSError(errno.ESTALE, "Stale file handle")


async def test_a_worker_with_another_folder_leaves_files_to_the_others(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = await desk.submit()
    async with desk.worker(limits=SOON, data_dir=tmp_path / "forgotten") as astray:
        await until(_is_unwell(astray))
        now = await desk.jobs.get(job.id)
        assert (now.status, now.tries) == (JobStatus.QUEUED, 0)
        async with desk.worker():
            ended = await desk.ended(job)
        await until(_is_well(astray))
    assert (ended.status, ended.rows_failed) == (JobStatus.COMPLETED, 0)
    assert await desk.result(job) == doubled(NUMBERS)
    told = [one for one in caplog.messages if "does not hold the files of job" in one]
    assert len(told) == 1
    assert "give every worker the same DATA_DIR" in told[0]


async def test_a_store_with_another_id_is_another_store(
    desk: Desk, tmp_path: Path
) -> None:
    other = make_desk(desk.database, tmp_path / "other")
    job = await desk.submit()
    assert await other.files.make_store() != await desk.files.make_store()
    async with desk.worker(limits=SOON, data_dir=other.files.data_dir) as astray:
        await until(_is_unwell(astray))
        assert (await read(desk.database, job.id)).attempt == 0


async def test_a_worker_that_loses_its_store_takes_no_more_chunks(
    desk: Desk, data_dir: Path
) -> None:
    job = await desk.submit()
    (data_dir / "jobs").rename(data_dir / "gone")
    async with desk.worker(limits=SOON) as worker:
        await until(_is_unwell(worker))
        (data_dir / "gone").rename(data_dir / "jobs")
        assert (await desk.ended(job)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("error", [NO_SPACE, FORBIDDEN, STALE, InsufficientStorage("")])
async def test_a_store_that_fails_for_a_while_costs_no_row(
    desk: Desk, error: Exception
) -> None:
    scoring = NumberScoring()
    scoring.troubles = [error] * 5
    job = await desk.submit()
    async with desk.worker(scoring, SOON) as worker:
        ended = await desk.ended(job)
        assert not worker.is_well()
    assert (ended.status, ended.rows_failed) == (JobStatus.COMPLETED, 0)


async def test_a_store_that_never_works_fails_the_job_and_blames_no_row(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_verdicts, "STORE_TRIES", 4)
    scoring = NumberScoring()
    scoring.troubles = [FORBIDDEN] * 9
    job = await desk.submit(recipe=recipe(chunk_rows=10))
    async with desk.worker(scoring, SOON):
        ended = await desk.ended(job)
    assert (ended.status, ended.error_code) == (JobStatus.FAILED, "store_unavailable")
    assert (ended.rows_done, ended.rows_failed) == (0, 0)
    message = ended.error_message or ""
    assert "the store of job files (DATA_DIR/jobs)" in message
    assert "Permission denied" in message
    assert "/secret" not in message


async def test_one_job_without_its_files_does_not_keep_a_worker_from_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_verdicts, "STORE_TRIES", 6)
    lost, good = await desk.submit(), await desk.submit()
    desk.files.input(lost.id).unlink()
    async with desk.worker(limits=replace(SOON, store_s=0.05)) as worker:
        assert (await desk.ended(good)).status is JobStatus.COMPLETED
        ended = await desk.ended(lost)
        assert worker.is_well()
    assert (ended.status, ended.error_code) == (JobStatus.FAILED, "store_unavailable")
    assert "a file of the job is missing" in (ended.error_message or "")


async def test_the_first_of_several_that_make_a_store_wins(tmp_path: Path) -> None:
    one, two = JobFiles(tmp_path), JobFiles(tmp_path)
    assert await one.store() is None
    made = await one.make_store()
    assert await two.make_store() == made == await two.store()


def _is_unwell(runner: JobRunner) -> Callable[[], Awaitable[bool]]:
    async def told() -> bool:
        return not runner.is_well()

    return told


def _is_well(runner: JobRunner) -> Callable[[], Awaitable[bool]]:
    async def told() -> bool:
        return runner.is_well()

    return told
