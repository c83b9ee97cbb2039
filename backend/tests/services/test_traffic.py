"""The routing table follows the database."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import update

from app.artifacts.local import LocalStore
from app.database import Database, ReadSession
from app.enums import VersionStatus
from app.errors import ModelNotFound, ModelNotReady
from app.models.clock import RegistryClock
from app.services.traffic import Traffic
from app.services.version_rules import set_status
from app.serving.routes import ModelRoutes, Routes
from tests.services.registry_parts import Parts, new_inspector

PATIENCE_S = 20.0


@pytest.fixture
def other(database_dsn: str, store: LocalStore, database: Database) -> Parts:
    """A second process on the same database."""
    return Parts(database, store, new_inspector())


async def test_the_first_look_loads_everything(parts: Parts, other: Parts) -> None:
    loaded = [other.traffic.is_loaded]
    await parts.add_ready("iris")
    await parts.add_ready("wine")
    await other.traffic.refresh()
    loaded.append(other.traffic.is_loaded)
    assert loaded == [False, True]
    assert other.routes.names() == ["iris", "wine"]


async def test_a_record_holds_what_serving_needs(parts: Parts) -> None:
    row = await parts.add_ready(
        feature_names=["a", "b", "c"],
        validation={"deterministic": True},
        model_metadata={"score": {"output": "y", "index": 1}},
        is_default=True,
        cache_epoch=7,
    )
    record = parts.routes.resolve("iris")
    assert parts.routes.default() is record
    assert (record.id, record.version, record.cache_epoch) == (row.id, "1.0.0", 7)
    assert record.deterministic
    assert record.target.feature_names == ("a", "b", "c")
    assert record.target.score is not None
    assert record.target.score.index == 1
    assert [spec.name for spec in record.target.signature.outputs] == ["y"]
    assert record.artifact is not None
    assert record.artifact.digest == row.digest


async def test_a_version_not_known_to_be_deterministic_is_not(parts: Parts) -> None:
    await parts.add_ready(validation=None)
    assert not parts.routes.resolve("iris").deterministic


async def test_changes_of_another_process_are_caught_up(
    parts: Parts, other: Parts
) -> None:
    await other.traffic.refresh()
    await parts.add_ready("iris", "1.0.0")
    await parts.add_ready("iris", "1.1.0")
    await other.traffic.catch_up()
    assert other.routes.resolve("iris").version == "1.1.0"
    await parts.registry.set_alias("iris", "production", "1.0.0")
    await other.traffic.catch_up()
    assert other.routes.resolve("iris").version == "1.0.0"
    await parts.registry.delete("iris:1.0.0")
    await other.traffic.catch_up()
    assert other.routes.resolve("iris").version == "1.1.0"
    await parts.registry.delete("iris:1.1.0")
    await other.traffic.catch_up()
    with pytest.raises(ModelNotFound):
        other.routes.resolve("iris")


async def test_digests_that_nobody_serves_are_told(parts: Parts, other: Parts) -> None:
    row = await parts.add_ready()
    await other.traffic.refresh()
    async with parts.database.transaction() as db:
        found = await parts.registry.get(row.id)
        db.add(found)
        set_status(found, VersionStatus.ARCHIVED)
    await parts.traffic.refresh(["iris"])
    assert parts.gone == [row.digest]
    with pytest.raises(ModelNotReady):
        parts.routes.resolve("iris")


async def test_an_older_database_is_loaded_whole(parts: Parts) -> None:
    await parts.add_ready("iris", "1.0.0")
    await parts.add_ready("iris", "1.1.0")
    async with parts.database.transaction() as db:
        await db.execute(update(RegistryClock).values(revision=0))
    await parts.add_ready("wine")
    assert parts.routes.names() == ["iris", "wine"]


async def test_the_follower_sees_what_another_process_did(
    parts: Parts, database: Database, store: LocalStore
) -> None:
    routes = NotingRoutes("iris")
    other = Parts(database, store, new_inspector(), routes)
    async with running(other.traffic.follow()):
        await parts.add_ready("iris")
        await routes.came.wait()
    assert routes.resolve("iris").version == "1.0.0"


async def test_who_misses_a_model_waits_for_the_next_look(
    parts: Parts, database: Database, store: LocalStore
) -> None:
    other = Parts(database, store, new_inspector())
    # No look of its own accord comes in the time of this test.
    other.traffic = Traffic(
        database, other.routes, poll_s=3600, on_gone=other.gone.append
    )
    await other.traffic.refresh()
    async with running(other.traffic.follow()):
        for name in ("iris", "wine"):
            await parts.add_ready(name)
            assert await other.traffic.catch_up_on_miss()
            assert other.routes.resolve(name).version == "1.0.0"


async def test_all_who_miss_at_once_share_one_look(parts: Parts) -> None:
    counting = CountingTraffic(parts)
    async with running(counting.follow()):
        misses = [counting.catch_up_on_miss() for _ in range(100)]
        assert all(await asyncio.gather(*misses))
    # The first may have begun before the last of them asked.
    assert counting.looks <= 2


async def test_who_misses_a_model_in_an_outage_is_told_in_time(parts: Parts) -> None:
    unreachable = UnreachableDatabase()
    cut_off = Traffic(unreachable, parts.routes, poll_s=3600, on_gone=parts.gone.append)
    assert not await cut_off.catch_up_on_miss()
    async with running(cut_off.follow()):
        assert not await cut_off.catch_up_on_miss()
    await unreachable.close()


async def test_a_caller_who_leaves_does_not_stop_the_look_of_others(
    parts: Parts,
) -> None:
    counting = CountingTraffic(parts)
    async with running(counting.follow()):
        leaver = asyncio.create_task(counting.catch_up_on_miss())
        other = asyncio.create_task(counting.catch_up_on_miss())
        await asyncio.sleep(0)
        leaver.cancel()
        assert await other


async def test_an_outage_leaves_the_table_and_is_counted(parts: Parts) -> None:
    await parts.add_ready("iris")
    unreachable = UnreachableDatabase()
    cut_off = Traffic(unreachable, parts.routes, poll_s=0.01, on_gone=parts.gone.append)
    async with running(cut_off.follow()):
        await unreachable.asked_thrice.wait()
    assert cut_off.errors >= 2
    assert parts.routes.resolve("iris").version == "1.0.0"
    await unreachable.close()


class CountingTraffic(Traffic):
    """Looks only when asked, and counts its looks."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(
            parts.database, parts.routes, poll_s=3600, on_gone=parts.gone.append
        )
        self.looks = 0

    async def catch_up(self) -> None:
        self.looks += 1
        await super().catch_up()


class NotingRoutes(Routes):
    """Tells when a name has come."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.came = asyncio.Event()
        self._awaited = name

    def replace(self, names: Mapping[str, ModelRoutes | None]) -> frozenset[str]:
        gone = super().replace(names)
        if self._awaited in self.names():
            self.came.set()
        return gone


class UnreachableDatabase(Database):
    """Tells when it was asked for the third time."""

    def __init__(self) -> None:
        super().__init__("postgresql+asyncpg://nobody@127.0.0.1:1/none")
        self.asked_thrice = asyncio.Event()
        self._asked = 0

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ReadSession]:
        self._asked += 1
        if self._asked >= 3:
            self.asked_thrice.set()
        async with super().reading() as db:
            yield db


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_goes_by_the_clock_is_loaded_one_at_a_time(
    database: Database,
) -> None:
    told: list[str] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    async def beside(db: ReadSession) -> None:
        told.append("began")
        began.set()
        await go_on.wait()
        told.append("ended")

    traffic = Traffic(
        database, Routes(), poll_s=60, on_gone=lambda _: None, beside=beside
    )
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.refresh())
        await began.wait()
        tasks.create_task(traffic.refresh_beside())
        # A read ends after one that was asked for later, so that one would have begun.
        async with database.reading():
            pass
        go_on.set()
    assert told == ["began", "ended"] * 2
