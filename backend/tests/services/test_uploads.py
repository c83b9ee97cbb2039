"""Files on their way to a committed version, through the real sandbox."""

import asyncio
from typing import Any

import pytest

from app.enums import VersionStatus
from app.errors import (
    InvalidField,
    InvalidModel,
    ModelNotFound,
    StateForbids,
    VersionExists,
)
from app.services.fields import NewVersion, VersionPatch
from tests.artifacts.files import sha256
from tests.graphs import add_one, affine, no_outputs
from tests.services.registry_parts import HeldInspector, Parts

READY = VersionStatus.READY
NOT_ONNX = b"this is no model"


async def nothing() -> set[str]:
    return set()


def _held(parts: Parts) -> HeldInspector:
    assert isinstance(parts.inspector, HeldInspector)
    return parts.inspector


async def test_the_long_way_to_a_ready_version(parts: Parts) -> None:
    content = add_one()
    created = await parts.registry.create(NewVersion("iris"))
    uploaded = await parts.upload("iris", content)
    assert uploaded.id == created.id
    assert uploaded.status is VersionStatus.UPLOADED
    assert uploaded.file_size_bytes == len(content)
    row = await parts.registry.validate("iris")
    assert row.status is READY
    assert row.input_schema
    assert row.output_schema
    assert row.validation
    assert row.validation["deterministic"] is True
    record = parts.routes.resolve("iris")
    assert record.artifact is not None
    path = await parts.store.open(record.artifact)
    assert (path / "model.onnx").read_bytes() == content
    assert await parts.registry.artifact_of("iris")


async def test_an_invalid_file_is_an_error_that_another_file_mends(
    parts: Parts,
) -> None:
    await parts.registry.create(NewVersion("iris"))
    await parts.upload("iris", NOT_ONNX)
    row = await parts.registry.validate("iris")
    assert row.status is VersionStatus.ERROR
    assert row.error_message
    await parts.upload("iris", add_one())
    row = await parts.registry.validate("iris")
    assert row.status is READY
    assert row.error_message is None


async def test_a_pending_version_has_nothing_to_validate(parts: Parts) -> None:
    await parts.registry.create(NewVersion("iris"))
    with pytest.raises(StateForbids, match="upload its file first"):
        await parts.registry.validate("iris")


async def test_a_score_rule_that_does_not_fit_fails_the_validation(
    parts: Parts,
) -> None:
    await parts.registry.create(
        NewVersion("iris", metadata={"score": {"output": "nope"}})
    )
    await parts.upload("iris", add_one())
    row = await parts.registry.validate("iris")
    assert row.status is VersionStatus.ERROR
    assert "nope" in str(row.error_message)
    await parts.registry.patch("iris", VersionPatch(metadata={}))
    assert (await parts.registry.validate("iris")).status is READY


async def test_one_shot_gives_a_version_that_serves(parts: Parts) -> None:
    uploaded = await parts.upload_whole(
        add_one(), description="adds one", metadata={"team": "math"}
    )
    assert uploaded.created
    row = uploaded.row
    assert (row.name, row.version, row.status) == ("iris", "1.0.0", READY)
    assert (row.description, row.model_metadata) == ("adds one", {"team": "math"})
    assert parts.routes.resolve("iris").id == row.id


async def test_the_same_name_and_content_again_is_the_same_version(
    parts: Parts,
) -> None:
    first = await parts.upload_whole(add_one())
    for version in (None, "1.0.0"):
        again = await parts.upload_whole(add_one(), version=version)
        assert not again.created
        assert again.row.id == first.row.id
    other_name = await parts.upload_whole(add_one(), name="wine")
    assert other_name.created


@pytest.mark.parametrize("version", [None, "1.0.0"])
async def test_content_that_was_archived_is_the_same_version_too(
    parts: Parts, version: str | None
) -> None:
    first = await parts.upload_whole(add_one())
    await parts.registry.patch("iris", VersionPatch(status=VersionStatus.ARCHIVED))
    again = await parts.upload_whole(add_one(), version=version)
    assert not again.created
    assert (again.row.id, again.row.status) == (first.row.id, VersionStatus.ARCHIVED)


async def test_a_ready_version_goes_before_an_archived_one(parts: Parts) -> None:
    content = add_one()
    digest = sha256(content)
    archived = VersionStatus.ARCHIVED
    await parts.add_ready(version="1.0.0", digest=digest)
    await parts.add_ready(version="2.0.0", digest=digest, status=archived)
    assert (await parts.upload_whole(content)).row.version == "1.0.0"


async def test_feature_names_come_with_the_upload(parts: Parts) -> None:
    names = ["a", "b", "c"]
    uploaded = await parts.upload_whole(affine(2), feature_names=names)
    assert uploaded.row.feature_names == names
    assert parts.routes.resolve("iris").feature_names == tuple(names)


async def test_other_content_is_the_next_version(parts: Parts) -> None:
    for number, expected in enumerate(["1.0.0", "1.1.0", "1.2.0"]):
        uploaded = await parts.upload_whole(affine(number + 2))
        assert uploaded.row.version == expected


async def test_a_version_that_exists_with_other_content_is_a_conflict(
    parts: Parts,
) -> None:
    await parts.upload_whole(affine(2), version="1.0.0")
    with pytest.raises(VersionExists, match=r"iris:1\.0\.0 exists already"):
        await parts.upload_whole(affine(3), version="1.0.0")
    await parts.registry.create(NewVersion("iris", "3.0.0"))
    with pytest.raises(VersionExists):
        await parts.upload_whole(affine(3), version="3.0.0")


@pytest.mark.parametrize(
    ("content", "new", "error"),
    [
        (NOT_ONNX, {}, InvalidModel),
        (add_one()[:40], {}, InvalidModel),
        (no_outputs(), {}, InvalidModel),
        (add_one(), {"metadata": {"score": {"output": "nope"}}}, InvalidField),
        (affine(2), {"feature_names": ["a", "b"]}, InvalidField),
    ],
)
async def test_what_fails_leaves_nothing(
    parts: Parts, content: bytes, new: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await parts.upload_whole(content, **new)
    assert await parts.all_versions() == []
    assert parts.routes.names() == []
    assert (
        len(await parts.store.collect(parts.registry.referenced_digests, grace_s=0))
        == 0
    )


async def test_two_at_once_of_one_version_are_one_version(held: Parts) -> None:
    first = asyncio.create_task(held.upload_whole(affine(2), version="1.0.0"))
    await _held(held).asked.wait()
    for content in (affine(2), affine(3)):
        with pytest.raises(VersionExists, match="being uploaded right now"):
            await held.upload_whole(content, version="1.0.0")
    _held(held).go.set()
    assert (await first).created
    assert await held.all_versions() == [("iris", "1.0.0", READY)]


async def test_two_processes_at_once_make_one_version(
    parts: Parts, held: Parts
) -> None:
    slow = asyncio.create_task(held.upload_whole(affine(2), version="1.0.0"))
    await _held(held).asked.wait()
    assert (await parts.upload_whole(affine(3), version="1.0.0")).created
    _held(held).go.set()
    with pytest.raises(VersionExists):
        await slow
    assert await parts.all_versions() == [("iris", "1.0.0", READY)]
    # What the loser had stored is gone at once, without waiting for a collector.
    assert len(await parts.store.collect(nothing, grace_s=-1)) == 1


async def test_uploads_without_a_version_never_collide(parts: Parts) -> None:
    uploads = await asyncio.gather(
        *(parts.upload_whole(affine(n)) for n in range(2, 5))
    )
    assert {u.row.version for u in uploads} == {"1.0.0", "1.1.0", "1.2.0"}
    same = await asyncio.gather(
        *(parts.upload_whole(add_one(), name="wine") for _ in range(3))
    )
    assert sorted(u.created for u in same) == [False, False, True]


async def test_a_version_reserved_by_another_upload_is_passed_over(
    held: Parts, parts: Parts
) -> None:
    named = asyncio.create_task(held.upload_whole(affine(2), version="1.0.0"))
    await _held(held).asked.wait()
    unnamed = asyncio.create_task(held.upload_whole(affine(3)))
    _held(held).go.set()
    assert (await named).row.version == "1.0.0"
    assert (await unnamed).row.version == "1.1.0"


async def test_a_failed_upload_frees_its_version(parts: Parts) -> None:
    with pytest.raises(InvalidModel):
        await parts.upload_whole(NOT_ONNX, version="1.0.0")
    assert (await parts.upload_whole(add_one(), version="1.0.0")).created


async def test_a_delete_during_validation_wins(held: Parts) -> None:
    await held.registry.create(NewVersion("iris"))
    await held.upload("iris", add_one())
    validating = asyncio.create_task(held.registry.validate("iris"))
    await _held(held).asked.wait()
    await held.registry.delete("iris")
    _held(held).go.set()
    with pytest.raises(ModelNotFound):
        await validating
    assert await held.all_versions() == []


async def test_a_version_is_validated_by_one_at_a_time(held: Parts) -> None:
    await held.registry.create(NewVersion("iris"))
    await held.upload("iris", add_one())
    validating = asyncio.create_task(held.registry.validate("iris"))
    await _held(held).asked.wait()
    with pytest.raises(StateForbids, match="validating"):
        await held.registry.validate("iris")
    with pytest.raises(StateForbids, match="validating"):
        await held.upload("iris", affine(2))
    _held(held).go.set()
    assert (await validating).status is READY


async def test_a_cancelled_validation_leaves_the_file_open(held: Parts) -> None:
    await held.registry.create(NewVersion("iris"))
    await held.upload("iris", add_one())
    validating = asyncio.create_task(held.registry.validate("iris"))
    await _held(held).asked.wait()
    validating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await validating
    _held(held).go.set()
    assert (await held.registry.validate("iris")).status is READY


async def test_a_collected_store_keeps_what_is_referenced(parts: Parts) -> None:
    uploaded = await parts.upload_whole(add_one())
    await parts.registry.patch("iris", VersionPatch(status=VersionStatus.ARCHIVED))
    collect = parts.store.collect
    assert len(await collect(parts.registry.referenced_digests, grace_s=0)) == 0
    await parts.registry.delete(uploaded.row.id)
    assert len(await collect(parts.registry.referenced_digests, grace_s=0)) == 1
