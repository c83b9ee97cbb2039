"""File jobs from submit to result, whatever their rows or their workers do."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from app.datasets.base import Recipe
from app.enums import (
    ChunkStatus,
    Compression,
    JobStage,
    JobStatus,
    OnError,
    Priority,
    RetryRows,
)
from app.errors import (
    DatabaseUnavailable,
    InvalidField,
    ModelNotFound,
    Overloaded,
    StateForbids,
    Unavailable,
)
from app.services.file_jobs import error_sample_of, progress_of
from tests.artifacts.files import names_in
from tests.jobs.files import NUMBERS, Desk, jobs_in
from tests.jobs.numbers import SOON_S, NumberScoring, doubled, recipe
from tests.jobs.work import QUICK, request, until

WITH_BAD_ROWS = b"1\n2\nbad\n4\n5\n6\n7\n8\nworse\n"


async def test_every_row_is_scored_in_the_order_of_the_file(desk: Desk) -> None:
    job = await desk.submit()
    assert desk.bell.rung == [job.id]
    assert progress_of(job).rows_total == 7
    async with desk.worker():
        ended = await desk.ended(job)
    assert ended.status is JobStatus.COMPLETED
    assert (ended.rows_total, ended.rows_done, ended.rows_failed) == (10, 10, 0)
    assert (ended.chunks_total, ended.chunks_done) == (4, 4)
    assert ended.inference_time_ms == 4.0
    assert await desk.result(job) == doubled(NUMBERS)
    assert (await desk.file_jobs.result(job.id)).errors is None


async def test_failed_rows_are_told_with_their_lines(desk: Desk) -> None:
    job = await desk.submit(WITH_BAD_ROWS)
    async with desk.worker():
        ended = await desk.ended(job)
    assert ended.status is JobStatus.COMPLETED
    assert (ended.rows_done, ended.rows_failed) == (9, 2)
    sample = error_sample_of(ended)
    assert [(one.line, one.column) for one in sample] == [(3, "number"), (9, "number")]
    assert await desk.result(job) == doubled(WITH_BAD_ROWS)
    errors = (await desk.file_jobs.result(job.id)).errors
    assert errors is not None
    assert errors.path.read_bytes().count(b"\n") == 2


async def test_a_file_without_rows_has_an_empty_result(desk: Desk) -> None:
    job = await desk.submit(b"")
    async with desk.worker():
        ended = await desk.ended(job)
    assert ended.status is JobStatus.COMPLETED
    assert ended.rows_total == 0
    assert await desk.result(job) == b""


async def test_chunks_are_cut_from_what_was_unpacked(desk: Desk) -> None:
    job = await desk.submit(recipe=recipe(compression=Compression.GZIP))
    async with desk.worker():
        assert (await desk.ended(job)).status is JobStatus.COMPLETED
    assert await desk.result(job) == doubled(NUMBERS)


async def test_several_workers_share_the_chunks_of_a_job(desk: Desk) -> None:
    body = NUMBERS * 12
    scorings = [NumberScoring() for _ in range(3)]
    job = await desk.submit(body, recipe=recipe(chunk_rows=2))
    async with AsyncExitStack() as stack:
        for scoring in scorings:
            await stack.enter_async_context(desk.worker(scoring))
        assert (await desk.ended(job)).status is JobStatus.COMPLETED
    runs: Counter[int] = sum((one.runs for one in scorings), Counter())
    assert runs == dict.fromkeys(range(1, 121, 2), 1)
    assert await desk.result(job) == doubled(body)


async def test_a_worker_with_full_hands_calls_another(desk: Desk) -> None:
    """Nobody sweeps: each hears of the job from a bell alone."""
    no_sweep = replace(QUICK, sweep_s=3600.0)
    first, second = NumberScoring(), NumberScoring()
    first.hold()
    async with (
        desk.worker(second, no_sweep) as other,
        desk.worker(first, no_sweep, ring=other.wake) as runner,
    ):
        desk.bell.runner = runner
        job = await desk.submit()
        await _started(second)
        first.release.set()
        assert (await desk.ended(job)).status is JobStatus.COMPLETED
    assert await desk.result(job) == doubled(NUMBERS)


async def test_urgent_work_goes_before_the_chunks_of_what_is_not(desk: Desk) -> None:
    low = await desk.submit(priority=Priority.LOW)
    scoring = NumberScoring()
    scoring.hold()
    async with desk.worker(scoring, replace(QUICK, concurrency=1)):
        await _started(scoring)
        high = await desk.submit(priority=Priority.HIGH)
        prediction = await desk.jobs.submit(request())
        scoring.release.set()
        assert (await desk.ended(high)).status is JobStatus.COMPLETED
        assert (await desk.ended(prediction)).status is JobStatus.COMPLETED
        ended = await desk.ended(low)
    first = (await desk.jobs.get(high.id)).completed_at
    second = (await desk.jobs.get(prediction.id)).completed_at
    assert first is not None
    assert second is not None
    assert ended.completed_at is not None
    assert first < second < ended.completed_at


async def test_progress_moves_while_a_chunk_runs(desk: Desk) -> None:
    scoring = NumberScoring()
    scoring.hold()
    job = await desk.submit(recipe=recipe(chunk_rows=10))
    async with desk.worker(scoring):

        async def moved() -> bool:
            return progress_of(await desk.jobs.get(job.id)).rows_done == 10

        await until(moved)
        assert (await desk.jobs.get(job.id)).rows_done == 0
        scoring.release.set()
        ended = await desk.ended(job)
    assert progress_of(ended).rows_done == 10


async def test_a_chunk_that_may_pass_is_tried_again(desk: Desk) -> None:
    scoring = NumberScoring()
    scoring.troubles = [Unavailable("no memory for the model")] * 2
    job = await desk.submit(recipe=recipe(chunk_rows=10))
    async with desk.worker(scoring):
        ended = await desk.ended(job)
    assert ended.status is JobStatus.COMPLETED
    assert ended.rows_failed == 0
    assert await desk.result(job) == doubled(NUMBERS)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("no memory for the model"), "no memory for the model"),
        (RuntimeError("/secret/path"), "an unexpected error ended the chunk of this"),
    ],
)
async def test_a_chunk_that_never_passes_gives_failed_rows(
    desk: Desk, error: Exception, reason: str
) -> None:
    scoring = NumberScoring()
    scoring.troubles = [error] * 3
    job = await desk.submit(recipe=recipe(chunk_rows=5))
    async with desk.worker(scoring, replace(QUICK, concurrency=1, backoff_s=0.0)):
        ended = await desk.ended(job)
    assert ended.status is JobStatus.COMPLETED
    assert (ended.rows_done, ended.rows_failed) == (10, 5)
    assert error_sample_of(ended)[0].reason.startswith(reason)
    assert (await desk.result(job)).endswith(doubled(NUMBERS)[-20:])


@pytest.mark.parametrize(
    "error", [DatabaseUnavailable("away"), Overloaded("too many wait")]
)
async def test_trouble_of_the_machine_uses_up_no_try(
    desk: Desk, error: Exception
) -> None:
    scoring = NumberScoring()
    scoring.troubles = [error] * 9
    job = await desk.submit()
    async with desk.worker(scoring):
        ended = await desk.ended(job)
    assert ended.status is JobStatus.COMPLETED
    assert ended.rows_failed == 0


async def test_a_model_that_is_gone_fails_the_job(desk: Desk) -> None:
    scoring = NumberScoring()
    scoring.troubles = [ModelNotFound("there is no model iris")]
    job = await desk.submit()
    async with desk.worker(scoring):
        ended = await desk.ended(job)
    assert ended.status is JobStatus.FAILED
    assert ended.error_message == "there is no model iris"
    assert await desk.count_chunks(job, ChunkStatus.RUNNING) == 0


@pytest.mark.parametrize(
    "wanted", [recipe(on_error=OnError.FAIL), recipe(max_failed_rows=0)]
)
async def test_too_many_failed_rows_fail_the_job(desk: Desk, wanted: Recipe) -> None:
    job = await desk.submit(WITH_BAD_ROWS, recipe=wanted)
    async with desk.worker(limits=replace(QUICK, concurrency=1)):
        ended = await desk.ended(job)
    assert ended.status is JobStatus.FAILED
    assert ended.error_code == "rows_failed"
    assert ended.error_message is not None
    assert "line 3, column 'number': 'bad' is no number" in ended.error_message
    with pytest.raises(StateForbids):
        await desk.file_jobs.result(job.id)


async def test_a_job_that_failed_tells_of_every_row_it_had_come_to(desk: Desk) -> None:
    bad = b"".join(b"bad%d\n" % number for number in range(60))
    wanted = recipe(chunk_rows=15, max_failed_rows=40)
    job = await desk.submit(bad, recipe=wanted)
    with pytest.raises(StateForbids, match="there is no file of failed rows"):
        await desk.file_jobs.errors_so_far(job.id)
    async with desk.worker(limits=replace(QUICK, concurrency=1)):
        assert (await desk.ended(job)).status is JobStatus.FAILED
    paths = await desk.file_jobs.errors_so_far(job.id)
    lines = b"".join(path.read_bytes() for path in paths).splitlines()
    assert [orjson.loads(line)[0] for line in lines] == list(range(1, 46))


async def test_a_cancelled_job_tells_of_the_rows_of_its_chunks_that_are_done(
    desk: Desk,
) -> None:
    job = await desk.submit(WITH_BAD_ROWS)
    await desk.step()
    await desk.step()
    await desk.jobs.cancel(job.id)
    (path,) = await desk.file_jobs.errors_so_far(job.id)
    assert orjson.loads(path.read_bytes())[0] == 3


async def test_as_many_failed_rows_as_are_allowed_do_no_harm(desk: Desk) -> None:
    job = await desk.submit(WITH_BAD_ROWS, recipe=recipe(max_failed_rows=2))
    async with desk.worker():
        assert (await desk.ended(job)).status is JobStatus.COMPLETED


async def test_a_cancelled_job_ends_at_once_and_its_chunks_stop(desk: Desk) -> None:
    scoring = NumberScoring()
    scoring.hold()
    job = await desk.submit()
    async with desk.worker(scoring) as runner:
        await _started(scoring)
        assert (await desk.jobs.cancel(job.id)).status is JobStatus.CANCELLED

        async def idle() -> bool:
            return not runner.is_full()

        await until(idle)
    job = await desk.jobs.get(job.id)
    assert job.status is JobStatus.CANCELLED
    assert progress_of(job).rows_done == 0


async def test_a_cancelled_job_goes_on_from_where_it_was(desk: Desk) -> None:
    scoring = NumberScoring()
    job = await desk.submit()
    for _ in range(3):
        await desk.step()
    await desk.jobs.cancel(job.id)
    again = await desk.jobs.retry(job.id)
    assert again.retries == 1
    assert again.chunks_done == 2
    async with desk.worker(scoring):
        assert (await desk.ended(job)).status is JobStatus.COMPLETED
    assert sorted(scoring.runs) == [7, 10]
    assert await desk.result(job) == doubled(NUMBERS)


async def test_a_retry_scores_the_chunks_with_failed_rows_again(desk: Desk) -> None:
    scoring = NumberScoring()
    job = await desk.submit(WITH_BAD_ROWS)
    async with desk.worker(scoring):
        before = await desk.ended(job)
        await desk.jobs.retry(job.id)
        ended = await desk.ended(job)
    assert ended.status is JobStatus.COMPLETED
    assert scoring.runs == {1: 2, 4: 1, 7: 2}
    assert (ended.rows_done, ended.rows_failed) == (9, 2)
    assert ended.error_sample == before.error_sample
    assert await desk.result(job) == doubled(WITH_BAD_ROWS)


async def test_a_retry_of_all_rows_begins_with_the_plan(desk: Desk) -> None:
    scoring = NumberScoring()
    job = await desk.submit(WITH_BAD_ROWS)
    async with desk.worker(scoring):
        await desk.ended(job)
        again = await desk.jobs.retry(job.id, RetryRows.ALL)
        assert again.stage is JobStage.PLAN
        assert (await desk.ended(job)).status is JobStatus.COMPLETED
    assert scoring.runs == {1: 2, 4: 2, 7: 2}
    assert await desk.result(job) == doubled(WITH_BAD_ROWS)


async def test_a_job_without_failed_rows_is_not_retried(desk: Desk) -> None:
    job = await desk.submit()
    async with desk.worker():
        await desk.ended(job)
    with pytest.raises(StateForbids, match="completed without a failed row"):
        await desk.jobs.retry(job.id)


async def test_a_finished_job_keeps_only_the_files_it_names(
    desk: Desk, data_dir: Path
) -> None:
    job = await desk.submit(WITH_BAD_ROWS)
    async with desk.worker():
        await desk.ended(job)
        await desk.jobs.retry(job.id, RetryRows.ALL)
        await desk.ended(job)
    result = await desk.file_jobs.result(job.id)
    assert result.errors is not None
    folder = desk.files.folder(job.id)
    assert names_in(folder) == sorted(
        ["input", "parts", result.result.path.name, result.errors.path.name]
    )
    stems = {name.split(".")[0] for name in names_in(folder / "parts")}
    assert stems == {part.name for part in result.parts}


async def test_a_deleted_job_leaves_no_files_and_no_chunks(
    desk: Desk, data_dir: Path
) -> None:
    job = await desk.submit()
    async with desk.worker():
        await desk.ended(job)
    await desk.jobs.delete(job.id)
    assert jobs_in(data_dir) == []
    assert await desk.count_chunks(job) == 0


async def test_one_key_names_one_job(desk: Desk, data_dir: Path) -> None:
    first = await desk.submit(key="monday")
    again = await desk.submit(key="monday")
    assert again.id == first.id
    assert desk.bell.rung == [first.id]
    assert jobs_in(data_dir) == [first.id]


async def test_a_race_of_two_submits_with_one_key_ends_with_one_job(
    desk: Desk, data_dir: Path
) -> None:
    jobs = await asyncio.gather(*(desk.submit(key="monday") for _ in range(5)))
    assert len({job.id for job in jobs}) == 1
    assert jobs_in(data_dir) == [jobs[0].id]
    assert names_in(data_dir / "staging") == []


async def test_a_key_used_for_another_request_is_refused(desk: Desk) -> None:
    await desk.submit(key="monday")
    with pytest.raises(InvalidField, match="Idempotency-Key"):
        await desk.submit(key="monday", fingerprint="other")
    with pytest.raises(InvalidField, match="Idempotency-Key"):
        await desk.file_jobs.find_by_key("monday", "other")
    found = await desk.file_jobs.find_by_key("monday", "same")
    assert found is not None
    assert await desk.file_jobs.find_by_key("tuesday", "same") is None


async def _started(scoring: NumberScoring) -> None:
    async with asyncio.timeout(SOON_S):
        await scoring.started.wait()
