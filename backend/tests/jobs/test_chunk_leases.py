"""Chunks: claims, fences and late writers, straight on both databases."""

import asyncio
from collections.abc import Callable

import pytest

from app.crud import chunk_leases, job_claims
from app.crud.chunk_leases import ChunkLease, ClaimedChunk, Counts
from app.crud.job_claims import AnyLease
from app.crud.job_leases import Claimed
from app.enums import ChunkStatus, JobKind, JobStage, JobStatus, RetryRows
from app.models.job import Job
from app.services.file_jobs import error_sample_of, progress_of
from app.services.job_endings import Ending, Failed, Postponed, Released, Wrote
from tests.jobs.files import NUMBERS, Desk
from tests.jobs.numbers import NumberScoring, doubled, recipe
from tests.jobs.work import request

EXPIRED = -1.0


async def planned(desk: Desk, *, chunk_rows: int = 3) -> Job:
    job = await desk.submit(recipe=recipe(chunk_rows=chunk_rows))
    await desk.step()
    return job


async def claimed(
    desk: Desk, owner: str = "worker", lease_s: float = 30.0
) -> ClaimedChunk:
    found = await desk.claim(owner, lease_s)
    assert isinstance(found, ClaimedChunk)
    return found


async def renew(desk: Desk, lease: ChunkLease, lease_s: float = 30.0) -> bool:
    async with desk.database.transaction() as db:
        held = await chunk_leases.renew(db, {lease: Counts(2, 1)}, lease_s)
    return lease in held


async def finished(desk: Desk, job: Job) -> Job:
    """Whatever is left is done by one more worker."""
    async with desk.worker():
        return await desk.ended(job)


async def test_chunks_are_claimed_in_the_order_of_the_file(desk: Desk) -> None:
    await planned(desk)
    numbers = [(await claimed(desk)).lease.number for _ in range(4)]
    assert numbers == [0, 1, 2, 3]
    assert await desk.claim() is None


async def test_a_worker_may_keep_to_one_kind_of_jobs(desk: Desk) -> None:
    prediction = await desk.jobs.submit(request())
    job = await desk.submit()

    async def take(only: JobKind) -> AnyLease | None:
        async with desk.database.transaction() as db:
            found = await job_claims.claim(db, "worker", 30.0, only=only)
            return None if found is None else found.lease

    plan = await take(JobKind.FILE)
    assert plan is not None
    assert plan.job_id == job.id
    assert await take(JobKind.FILE) is None
    later = await desk.submit()
    answer = await take(JobKind.PREDICTION)
    assert answer is not None
    assert answer.job_id == prediction.id
    assert await take(JobKind.PREDICTION) is None
    assert (await desk.jobs.get(later.id)).status is JobStatus.QUEUED


async def test_many_claimers_at_once_never_share_a_chunk(desk: Desk) -> None:
    job = await desk.submit(NUMBERS * 4, recipe=recipe(chunk_rows=1))
    await desk.step()
    taken: list[int] = []

    async def take_all(owner: str) -> None:
        while (found := await desk.claim(owner)) is not None:
            assert isinstance(found, ClaimedChunk)
            taken.append(found.lease.number)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(take_all(f"worker-{number}"))
    assert sorted(taken) == list(range(40))
    assert await desk.count_chunks(job, ChunkStatus.RUNNING) == 40


async def test_an_expired_chunk_is_retaken_with_the_next_attempt(desk: Desk) -> None:
    await planned(desk, chunk_rows=10)
    first = await claimed(desk, "dead", EXPIRED)
    again = await claimed(desk, "other")
    assert again.lease.number == first.lease.number
    assert again.lease.attempt == first.lease.attempt + 1
    assert again.tries == 2
    assert again.lease.part != first.lease.part


def _fails(chunk: ClaimedChunk) -> Ending:
    return Failed(chunk.lease, "late", "late")


def _postpones(chunk: ClaimedChunk) -> Ending:
    return Postponed(chunk.lease, 0.0, "late", "late")


def _releases(chunk: ClaimedChunk) -> Ending:
    return Released(chunk.lease)


@pytest.mark.parametrize("taker", ["other", "frozen"])
@pytest.mark.parametrize("late", [None, _fails, _postpones, _releases])
async def test_a_worker_that_wakes_late_writes_nothing(
    desk: Desk, late: Callable[[ClaimedChunk], Ending] | None, taker: str
) -> None:
    """Not even where it was the one that took the chunk again."""
    job = await planned(desk, chunk_rows=10)
    stale = await claimed(desk, "frozen", EXPIRED)
    scored = await desk.run(stale)
    other = await claimed(desk, taker)
    assert await desk.write(late(stale) if late else scored) is Wrote.NOTHING
    assert not await renew(desk, stale.lease)
    now = await desk.jobs.get(job.id)
    assert (now.status, now.chunks_done) == (JobStatus.RUNNING, 0)
    assert await desk.write(await desk.run(other)) is Wrote.PIECE
    assert await desk.write(scored) is Wrote.NOTHING
    assert (await desk.jobs.get(job.id)).rows_done == 10
    await finished(desk, job)
    assert await desk.result(job) == doubled(NUMBERS)


async def test_a_part_written_by_a_worker_that_died_before_its_commit_is_redone(
    desk: Desk,
) -> None:
    job = await planned(desk)
    await desk.run(await claimed(desk, "dead", EXPIRED))
    scoring = NumberScoring()
    async with desk.worker(scoring):
        assert (await desk.ended(job)).rows_done == 10
    assert scoring.runs[1] == 1
    assert await desk.result(job) == doubled(NUMBERS)


async def test_a_plan_that_is_done_twice_counts_once(desk: Desk) -> None:
    job = await desk.submit()
    first = await desk.run(await desk.claim("frozen", EXPIRED))
    second = await desk.run(await desk.claim("other"))
    assert await desk.write(second) is Wrote.PIECE
    await desk.step()
    assert await desk.write(first) is Wrote.NOTHING
    assert (await finished(desk, job)).rows_done == 10
    assert await desk.result(job) == doubled(NUMBERS)


async def test_a_finish_that_is_done_twice_leaves_one_result(desk: Desk) -> None:
    job = await planned(desk, chunk_rows=10)
    await desk.step()
    assert (await desk.jobs.get(job.id)).stage is JobStage.FINISH
    first = await desk.run(await desk.claim("frozen", EXPIRED))
    second = await desk.run(await desk.claim("other"))
    assert await desk.write(second) is Wrote.JOB_ENDED
    assert await desk.write(first) is Wrote.NOTHING
    assert await desk.result(job) == doubled(NUMBERS)


async def test_nothing_is_visible_before_the_finish_commits(desk: Desk) -> None:
    job = await planned(desk, chunk_rows=10)
    await desk.step()
    ending = await desk.run(await desk.claim())
    assert (await desk.jobs.get(job.id)).result_files is None
    await desk.write(ending)
    assert (await desk.jobs.get(job.id)).result_files is not None


async def test_the_last_of_several_commits_at_once_moves_the_job_on(
    desk: Desk,
) -> None:
    job = await planned(desk, chunk_rows=1)
    chunks = [await claimed(desk) for _ in range(10)]
    endings = [await desk.run(chunk) for chunk in chunks]
    wrote = await asyncio.gather(*(desk.write(ending) for ending in endings))
    assert set(wrote) == {Wrote.PIECE}
    now = await desk.jobs.get(job.id)
    assert (now.stage, now.chunks_done, now.rows_done) == (JobStage.FINISH, 10, 10)


async def test_a_lease_that_is_renewed_keeps_the_others_out(desk: Desk) -> None:
    job = await planned(desk, chunk_rows=10)
    chunk = await claimed(desk, "worker", EXPIRED)
    assert await renew(desk, chunk.lease)
    assert await desk.claim("other") is None
    now = progress_of(await desk.jobs.get(job.id))
    assert (now.rows_done, now.rows_failed) == (2, 1)


async def test_rows_of_a_chunk_that_was_lost_are_not_counted_twice(desk: Desk) -> None:
    job = await planned(desk, chunk_rows=10)
    chunk = await claimed(desk, "dead")
    assert await renew(desk, chunk.lease, EXPIRED)
    await claimed(desk, "other")
    assert progress_of(await desk.jobs.get(job.id)).rows_done == 0


async def test_a_released_chunk_has_its_try_back(desk: Desk) -> None:
    await planned(desk, chunk_rows=10)
    chunk = await claimed(desk)
    assert await desk.write(Released(chunk.lease)) is Wrote.PIECE
    again = await claimed(desk)
    assert (again.tries, again.lease.attempt) == (1, 2)


async def test_rows_whose_workers_died_three_times_are_failed_rows(desk: Desk) -> None:
    job = await planned(desk, chunk_rows=5)
    for _ in range(3):
        await claimed(desk, "dead", EXPIRED)
    ended = await finished(desk, job)
    assert ended.status is JobStatus.COMPLETED
    assert (ended.rows_done, ended.rows_failed) == (10, 5)
    assert error_sample_of(ended)[0].reason == (
        "the worker died 3 times while it scored the rows around this one"
    )


async def test_a_chunk_that_kills_even_those_who_give_it_up_fails_the_job(
    desk: Desk,
) -> None:
    job = await planned(desk, chunk_rows=10)
    for _ in range(6):
        await claimed(desk, "dead", EXPIRED)
    ended = await finished(desk, job)
    assert ended.status is JobStatus.FAILED
    assert ended.error_message == "the worker died 6 times at the rows from line 1 on"


async def test_a_reason_older_than_a_death_is_not_the_reason(desk: Desk) -> None:
    await planned(desk, chunk_rows=10)
    chunk = await claimed(desk)
    await desk.write(Postponed(chunk.lease, 0.0, "unavailable", "no memory"))
    assert (await claimed(desk, "dead", EXPIRED)).trouble == "no memory"
    assert (await claimed(desk)).trouble is None


async def test_a_chunk_whose_failed_rows_cannot_be_written_fails_the_job(
    desk: Desk,
) -> None:
    job = await planned(desk, chunk_rows=10)
    for _ in range(3):
        await claimed(desk, "dead", EXPIRED)
    await desk.write(Failed((await claimed(desk)).lease, "full", "the disk is full"))
    now = await desk.jobs.get(job.id)
    assert (now.status, now.error_message) == (JobStatus.FAILED, "the disk is full")
    assert (await desk.jobs.retry(job.id)).status is JobStatus.RUNNING
    assert (await finished(desk, job)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("rows", list(RetryRows))
async def test_what_a_worker_held_before_a_cancel_and_retry_counts_no_more(
    desk: Desk, rows: RetryRows
) -> None:
    job = await planned(desk)
    stale = await claimed(desk, "slow")
    ending = await desk.run(stale)
    await desk.jobs.cancel(job.id)
    assert await desk.write(ending) is Wrote.NOTHING
    await desk.jobs.retry(job.id, rows)
    assert await desk.write(ending) is Wrote.NOTHING
    ended = await finished(desk, job)
    assert (ended.rows_done, ended.chunks_done) == (10, 4)
    assert await desk.write(ending) is Wrote.NOTHING
    assert await desk.result(job) == doubled(NUMBERS)


async def test_a_finish_in_hand_before_a_cancel_and_retry_counts_no_more(
    desk: Desk,
) -> None:
    job = await planned(desk, chunk_rows=10)
    await desk.step()
    found = await desk.claim("frozen", EXPIRED)
    assert isinstance(found, Claimed)
    ending = await desk.run(found)
    assert (await desk.jobs.cancel(job.id)).status is JobStatus.CANCELLED
    await desk.jobs.retry(job.id)
    assert await desk.write(ending) is Wrote.NOTHING
    assert (await finished(desk, job)).status is JobStatus.COMPLETED
    assert await desk.result(job) == doubled(NUMBERS)
