"""Validations whose process lives on, and those whose process has died."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from app.artifacts.local import LocalStore
from app.crud import versions
from app.database import Database
from app.enums import VersionStatus
from app.errors import StateForbids
from app.models.version import Version
from app.services.fields import NewVersion
from tests.graphs import add_one, affine
from tests.services.registry_parts import HeldInspector, Parts

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


async def _left_validating(parts: Parts, updated_at: datetime | None) -> None:
    """As a process leaves a version that is killed while it validates it."""
    await parts.registry.create(NewVersion("iris"))
    await parts.upload("iris", add_one())
    values: dict[str, object] = {"status": VersionStatus.VALIDATING}
    if updated_at is not None:
        values["updated_at"] = updated_at
    async with parts.database.transaction() as db:
        await db.execute(update(Version).values(values))


async def test_a_validation_just_begun_is_left_alone(parts: Parts) -> None:
    await _left_validating(parts, None)
    with pytest.raises(StateForbids, match="validating"):
        await parts.registry.validate("iris")
    with pytest.raises(StateForbids, match="validating"):
        await parts.registry.check_takes_file("iris")


async def test_a_validation_whose_process_died_is_taken_over(parts: Parts) -> None:
    await _left_validating(parts, LONG_AGO)
    assert (await parts.registry.validate("iris")).status is VersionStatus.READY


async def test_a_version_whose_validation_died_takes_another_file(
    parts: Parts,
) -> None:
    await _left_validating(parts, LONG_AGO)
    await parts.registry.check_takes_file("iris")
    row = await parts.upload("iris", affine(2))
    assert row.status is VersionStatus.UPLOADED
    assert (await parts.registry.validate("iris")).status is VersionStatus.READY


async def test_a_validation_that_waits_its_turn_shows_that_it_lives(
    database: Database, store: LocalStore
) -> None:
    inspector = HeldInspector()
    parts = Parts(database, store, inspector, stale_after_s=0.5)
    await parts.registry.create(NewVersion("iris"))
    await parts.upload("iris", add_one())
    validating = asyncio.create_task(parts.registry.validate("iris"))
    await inspector.asked.wait()
    async with database.transaction() as db:
        await db.execute(update(Version).values(updated_at=LONG_AGO))
    async with asyncio.timeout(20):
        while await _updated_at(database) == LONG_AGO:  # noqa: ASYNC110 - only the row tells
            await asyncio.sleep(0.02)
    inspector.go.set()
    assert (await validating).status is VersionStatus.READY
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _updated_at(database: Database) -> datetime:
    async with database.reading() as db:
        return (await versions.all_versions(db))[0].updated_at
