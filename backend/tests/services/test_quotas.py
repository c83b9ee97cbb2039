"""Quotas hold for calls that come at once, on both databases and between processes."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import pytest

from app.artifacts.store import MODEL_FILE
from app.auth.actor import Actor, acting
from app.auth.limits import KeyLimits
from app.database import Database
from app.errors import QuotaExceeded
from app.services.fields import NewVersion
from tests.jobs.work import Bell, make_jobs, request
from tests.services.registry_parts import Parts, chunks_of

CALLS = 6
KIB = 1024


def owner(**limits: Any) -> Actor:
    return Actor("key", owner="first", limits=KeyLimits(**limits))


async def outcomes(calls: Iterable[Coroutine[Any, Any, Any]]) -> tuple[int, int]:
    """How many succeeded, how many passed a quota."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in found if isinstance(one, QuotaExceeded)]
    wrong = [one for one in found if isinstance(one, Exception) and one not in refused]
    assert wrong == []
    return len(found) - len(refused), len(refused)


@pytest.fixture
def two(parts: Parts, database_dsn: str) -> list[Parts]:
    """Two processes on one database."""
    other = Parts(Database(database_dsn, timeout_s=30), parts.store, parts.inspector)
    return [parts, other]


async def test_versions_made_at_once_stay_within_the_quota(two: list[Parts]) -> None:
    with acting(owner(models=3)):
        calls = (
            two[number % 2].registry.create(NewVersion(f"m{number}", "1"))
            for number in range(CALLS)
        )
        assert await outcomes(calls) == (3, 3)
        await two[0].registry.delete((await two[0].all_versions())[0][0] + ":1")
        await two[0].registry.create(NewVersion("again", "1"))
    with acting(Actor("other", owner="other", limits=KeyLimits(models=1))):
        await two[0].registry.create(NewVersion("theirs", "1"))
    await two[1].database.close()


async def test_files_sent_at_once_stay_within_the_bytes(two: list[Parts]) -> None:
    size = 400 * KIB
    for number in range(4):
        await two[0].registry.create(NewVersion(f"m{number}", "1"))
    with acting(owner(stored_mb=1)):
        calls = (
            two[number % 2].upload(f"m{number}:1", bytes([number]) * size)
            for number in range(4)
        )
        assert await outcomes(calls) == (2, 2)
        # In place of one's own file the same again is no more.
        rows = await two[0].all_versions()
        mine = [name for name, _, status in rows if status == "uploaded"]
        await two[0].upload(f"{mine[0]}:1", b"x" * size)
        # What has no room is told before it is looked at.
        async with two[0].store.stage() as staging:
            await staging.add(MODEL_FILE, chunks_of(b"no model" * size))
            with pytest.raises(QuotaExceeded, match="stored_mb"):
                await two[0].registry.upload_whole(staging, NewVersion("big"))
    await two[1].database.close()


async def test_jobs_submitted_at_once_stay_within_the_quota(
    database: Database, database_dsn: str
) -> None:
    others = [Database(database_dsn, timeout_s=30) for _ in range(2)]
    desks = [make_jobs(one, Bell()) for one in (database, *others)]
    with acting(owner(concurrent_jobs=2)):
        calls = (desks[number % 3].submit(request()) for number in range(CALLS))
        assert await outcomes(calls) == (2, 4)
        page = await desks[0].list_jobs(None, None, page=1, page_size=10)
        job = page.items[0]
        await desks[0].cancel(job.id)
        await desks[0].submit(request())
        with pytest.raises(QuotaExceeded, match="2 jobs"):
            await desks[0].retry(job.id)
    with acting(owner(stored_mb=1)), pytest.raises(QuotaExceeded, match="stored_mb"):
        await desks[0].submit(request(b"x" * 2048 * KIB))
    for one in others:
        await one.close()
