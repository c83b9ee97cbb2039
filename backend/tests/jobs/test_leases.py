"""Claims, fences and burials, straight on both databases."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.crud import job_leases, job_outcomes, job_retries
from app.crud import jobs as crud
from app.crud.job_leases import Claimed, Lease
from app.database import Database
from app.enums import JobStatus
from tests.jobs.work import add_job, claim, claimed, new_job, read

EXPIRED = -1.0


async def test_urgent_jobs_come_first_then_the_oldest(database: Database) -> None:
    low = await add_job(database, new_job(priority=2))
    first = await add_job(database, new_job(priority=1))
    second = await add_job(database, new_job(priority=1))
    high = await add_job(database, new_job(priority=0))
    order = [(await claimed(database)).lease.job_id for _ in range(4)]
    assert order == [high, first, second, low]
    assert await claim(database) is None


async def test_a_claim_takes_payload_version_and_time(database: Database) -> None:
    job_id = await add_job(database, new_job(payload=b"\x00{}"))
    found = await claimed(database, owner="a")
    assert found.payload == b"\x00{}"
    assert found.lease == Lease(job_id, 1, "a")
    job = await read(database, job_id)
    assert job.status is JobStatus.RUNNING
    assert job.started_at is not None
    assert job.started_at >= job.created_at
    assert job.queue_time_ms is not None
    assert job.queue_time_ms >= 0


async def test_many_claimers_at_once_never_share_a_job(database: Database) -> None:
    wanted = {await add_job(database) for _ in range(40)}
    taken: list[str] = []

    async def take_all(owner: str) -> None:
        while (found := await claim(database, owner=owner)) is not None:
            taken.append(found.lease.job_id)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(take_all(f"worker-{number}"))
    assert len(taken) == 40
    assert set(taken) == wanted


async def test_a_lease_that_holds_keeps_the_others_out(database: Database) -> None:
    await add_job(database)
    await claimed(database, owner="a")
    assert await claim(database, owner="b") is None


async def test_an_expired_lease_is_retaken_with_the_next_attempt(
    database: Database,
) -> None:
    job_id = await add_job(database)
    await claimed(database, owner="a", lease_s=EXPIRED)
    again = await claimed(database, owner="b")
    assert again.lease == Lease(job_id, 2, "b")
    assert again.tries == 2


async def test_many_claimers_retake_an_expired_lease_once(database: Database) -> None:
    await add_job(database)
    await claimed(database, owner="dead", lease_s=EXPIRED)
    found = await asyncio.gather(
        *(claim(database, owner=f"worker-{number}") for number in range(8))
    )
    assert [one.lease.attempt for one in found if one is not None] == [2]


async def _complete(database: Database, lease: Lease) -> bool:
    async with database.transaction() as db:
        return await job_outcomes.complete(
            db, lease, body=b"late", media_type="application/json", took_ms=1.0
        )


async def _fail(database: Database, lease: Lease) -> bool:
    async with database.transaction() as db:
        return await job_outcomes.fail(db, lease, code="late", message="late")


async def _postpone(database: Database, lease: Lease) -> bool:
    async with database.transaction() as db:
        return await job_outcomes.postpone(
            db, lease, delay_s=0.0, code="late", message="late"
        )


async def _cancel(database: Database, lease: Lease) -> bool:
    async with database.transaction() as db:
        return await job_outcomes.end_cancelled(db, lease)


async def _release(database: Database, lease: Lease) -> bool:
    async with database.transaction() as db:
        return await job_outcomes.release(db, lease)


Write = Callable[[Database, Lease], Awaitable[bool]]
WRITES: list[Write] = [_complete, _fail, _postpone, _cancel, _release]


@pytest.mark.parametrize("write", WRITES)
async def test_a_worker_that_wakes_late_writes_nothing(
    database: Database, write: Write
) -> None:
    job_id = await add_job(database)
    stale = await claimed(database, owner="frozen", lease_s=EXPIRED)
    await claimed(database, owner="other")
    before = await _values(database, job_id)
    assert not await write(database, stale.lease)
    assert await _values(database, job_id) == before


async def test_the_same_worker_does_not_pass_its_own_older_fence(
    database: Database,
) -> None:
    job_id = await add_job(database)
    stale = await claimed(database, owner="a", lease_s=EXPIRED)
    fresh = await claimed(database, owner="a")
    assert not await _complete(database, stale.lease)
    assert await _complete(database, fresh.lease)
    assert (await read(database, job_id)).status is JobStatus.COMPLETED


async def test_attempts_stay_a_fence_after_a_callers_retry(database: Database) -> None:
    job_id = await add_job(database)
    stale = await claimed(database, owner="a", lease_s=EXPIRED)
    second = await claimed(database, owner="b")
    assert await _fail(database, second.lease)
    async with database.transaction() as db:
        job = await crud.find_locked(db, job_id)
        assert job is not None
        await job_retries.requeue(db, job)
    fresh = await claimed(database, owner="a")
    assert not await _complete(database, stale.lease)
    assert fresh.tries == 1
    assert await _complete(database, fresh.lease)


async def test_a_renewal_extends_only_what_is_still_held(database: Database) -> None:
    held = await claimed_new(database, owner="a")
    lost = await claimed_new(database, owner="b")
    async with database.transaction() as db:
        found = await job_leases.renew(
            db, "a", [held.lease.job_id, lost.lease.job_id], 99.0
        )
    assert list(found) == [held.lease.job_id]
    assert found[held.lease.job_id].attempt == 1
    assert not found[held.lease.job_id].cancel_requested


async def claimed_new(database: Database, *, owner: str) -> Claimed:
    await add_job(database)
    return await claimed(database, owner=owner)


async def test_a_poison_job_is_buried_when_its_attempts_are_used(
    database: Database,
) -> None:
    job_id = await add_job(database, new_job(max_attempts=3))
    for _ in range(3):
        await claimed(database, lease_s=EXPIRED)
    assert await claim(database) is None
    async with database.transaction() as db:
        assert await job_outcomes.bury(db) == [job_id]
    job = await read(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error_code == "worker_died"
    assert job.error_message == "the worker died 3 times while running this job"
    assert job.completed_at is not None


async def test_a_job_in_good_hands_is_not_buried(database: Database) -> None:
    await add_job(database, new_job(max_attempts=1))
    await claimed(database)
    async with database.transaction() as db:
        assert await job_outcomes.bury(db) == []


async def test_a_released_job_has_not_used_an_attempt(database: Database) -> None:
    await add_job(database)
    first = await claimed(database)
    assert await _release(database, first.lease)
    again = await claimed(database)
    assert again.tries == 1
    assert again.lease.attempt == 2


async def test_a_postponed_job_waits_for_its_time(database: Database) -> None:
    await add_job(database)
    first = await claimed(database)
    async with database.transaction() as db:
        await job_outcomes.postpone(
            db, first.lease, delay_s=3600.0, code="busy", message="busy"
        )
    assert await claim(database) is None


async def test_a_cancel_that_came_before_the_result_wins(database: Database) -> None:
    job_id = await add_job(database)
    found = await claimed(database)
    async with database.transaction() as db:
        job = await crud.find_locked(db, job_id)
        assert job is not None
        assert not await crud.cancel(db, job)
    assert await _complete(database, found.lease)
    assert (await read(database, job_id)).status is JobStatus.CANCELLED


async def test_a_cancelled_job_of_a_dead_worker_ends_cancelled(
    database: Database,
) -> None:
    job_id = await add_job(database)
    found = await claimed(database)
    async with database.transaction() as db:
        job = await crud.find_locked(db, job_id)
        assert job is not None
        await crud.cancel(db, job)
    async with database.transaction() as db:
        await job_leases.renew(db, "worker", [found.lease.job_id], EXPIRED)
    assert await claim(database) is None
    async with database.transaction() as db:
        assert await job_outcomes.bury(db) == [job_id]
    job = await read(database, job_id)
    assert job.status is JobStatus.CANCELLED
    assert job.error_message is None


async def _values(database: Database, job_id: str) -> dict[str, object]:
    job = await read(database, job_id)
    loaded = {key: value for key, value in vars(job).items() if key[0] != "_"}
    async with database.reading() as db:
        loaded["stored"] = await crud.find_result(db, job_id)
    return loaded
