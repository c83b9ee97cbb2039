"""The registry's use cases but for files, which `test_uploads` is about."""

import asyncio
from typing import Any

import pytest

from app.crud.versions import VersionFilter
from app.enums import VersionStatus
from app.errors import (
    AliasNotFound,
    FileNotUploaded,
    InvalidField,
    ModelNotFound,
    ModelNotReady,
    NoDefaultModel,
    StateForbids,
    VersionExists,
)
from app.services.fields import NewVersion, VersionPatch
from tests.services.registry_parts import Parts

READY, ARCHIVED = VersionStatus.READY, VersionStatus.ARCHIVED


async def test_a_created_version_is_pending_and_does_not_serve(parts: Parts) -> None:
    row = await parts.registry.create(NewVersion("iris", metadata={"a": 1}))
    assert (row.version, row.status) == ("1.0.0", VersionStatus.PENDING)
    assert row.model_metadata == {"a": 1}
    with pytest.raises(ModelNotReady, match="pending"):
        parts.routes.resolve("iris")
    with pytest.raises(FileNotUploaded):
        await parts.registry.artifact_of("iris")


async def test_the_next_version_is_chosen_when_none_is_given(parts: Parts) -> None:
    for expected in ("1.0.0", "1.1.0", "1.2.0"):
        row = await parts.registry.create(NewVersion("iris"))
        assert row.version == expected


async def test_a_version_is_created_once(parts: Parts) -> None:
    async def create() -> bool:
        try:
            await parts.registry.create(NewVersion("iris", "1.0.0"))
        except VersionExists:
            return False
        return True

    assert sorted(await asyncio.gather(*(create() for _ in range(6)))) == (
        [False] * 5 + [True]
    )


@pytest.mark.parametrize(
    "new",
    [
        {"name": "a b"},
        {"name": "iris", "version": "1:0"},
        {"name": "iris", "description": "nul\0"},
        {"name": "iris", "metadata": {"a": float("nan")}},
    ],
)
def test_what_breaks_a_rule_is_never_made(new: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        NewVersion(**new)


async def test_all_forms_of_reference_find_a_version(parts: Parts) -> None:
    row = await parts.add_ready("iris", "1.0.0")
    await parts.add_ready("iris", "2.0.0")
    await parts.registry.set_alias("iris", "canary", "1.0.0")
    for ref in (row.id, row.id.upper(), "iris:1.0.0", "iris@canary"):
        assert (await parts.registry.get(ref)).id == row.id
    assert (await parts.registry.get("iris")).version == "2.0.0"


async def test_a_bare_name_finds_what_serves_else_the_highest(parts: Parts) -> None:
    await parts.registry.create(NewVersion("iris", "1.0.0"))
    await parts.registry.create(NewVersion("iris", "2.0.0"))
    assert (await parts.registry.get("iris")).version == "2.0.0"
    await parts.add_ready("iris", "0.5.0")
    assert (await parts.registry.get("iris")).version == "0.5.0"


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("wine", ModelNotFound),
        ("iris:9", ModelNotFound),
        ("00000000-0000-4000-8000-000000000000", ModelNotFound),
        ("iris@canary", AliasNotFound),
        ("a b", InvalidField),
    ],
)
async def test_what_is_not_there_is_not_found(
    parts: Parts, ref: str, error: type[Exception]
) -> None:
    await parts.add_ready()
    for call in (
        parts.registry.get(ref),
        parts.registry.delete(ref),
        parts.registry.validate(ref),
        parts.registry.register(ref, {}),
        parts.registry.clear_cache(ref),
    ):
        with pytest.raises(error):
            await call


async def test_a_deleted_version_serves_no_more_at_once(parts: Parts) -> None:
    row = await parts.add_ready()
    await parts.registry.delete("iris")
    assert parts.routes.names() == []
    assert parts.gone == [row.digest]
    with pytest.raises(ModelNotFound):
        await parts.registry.get(row.id)
    with pytest.raises(ModelNotFound):
        await parts.registry.versions_of("iris")
    assert await parts.registry.referenced_digests() == set()


async def test_a_deleted_name_can_be_used_again(parts: Parts) -> None:
    await parts.add_ready("iris", "1.0.0")
    await parts.registry.delete("iris:1.0.0")
    assert (await parts.registry.create(NewVersion("iris"))).version == "1.0.0"


async def test_register_merges_metadata_and_names_the_columns(parts: Parts) -> None:
    await parts.add_ready(model_metadata={"kept": 1, "replaced": {"a": 1}})
    row = await parts.registry.register(
        "iris",
        {"feature_names": ["a", "b", "c"], "replaced": {"b": 2}, "model_config": {}},
    )
    assert row.feature_names == ["a", "b", "c"]
    assert row.model_metadata == {"kept": 1, "replaced": {"b": 2}, "model_config": {}}
    assert parts.routes.resolve("iris").target.feature_names == ("a", "b", "c")


async def test_register_refused_changes_nothing(parts: Parts) -> None:
    row = await parts.add_ready(model_metadata={"kept": 1})
    for data in (
        {"feature_names": ["a"], "x": 1},
        {"x": float("nan")},
        {"score": {"output": "nope"}},
        {"x": "y" * 70_000},
    ):
        with pytest.raises(InvalidField):
            await parts.registry.register("iris", data)
    after = await parts.registry.get(row.id)
    assert after.model_metadata == {"kept": 1}
    assert after.feature_names is None


async def test_feature_names_wait_for_validation(parts: Parts) -> None:
    await parts.registry.create(NewVersion("iris"))
    with pytest.raises(StateForbids, match="validate it first"):
        await parts.registry.register("iris", {"feature_names": ["a"]})
    row = await parts.registry.register("iris", {"team": "botany"})
    assert row.model_metadata == {"team": "botany"}


async def test_two_registrations_at_once_are_both_kept(parts: Parts) -> None:
    await parts.add_ready()
    await asyncio.gather(
        *(parts.registry.register("iris", {f"key-{n}": n}) for n in range(10))
    )
    row = await parts.registry.get("iris")
    assert row.model_metadata == {f"key-{n}": n for n in range(10)}


async def test_a_patch_sets_what_it_names(parts: Parts) -> None:
    await parts.add_ready(description="old", model_metadata={"a": 1})
    row = await parts.registry.patch("iris", VersionPatch(metadata={"b": 2}))
    assert (row.description, row.model_metadata) == ("old", {"b": 2})
    row = await parts.registry.patch("iris", VersionPatch(sets_description=True))
    assert (row.description, row.model_metadata) == (None, {"b": 2})
    assert row.updated_at > row.created_at


async def test_the_default_moves(parts: Parts) -> None:
    first = await parts.add_ready("iris")
    second = await parts.add_ready("wine")
    with pytest.raises(NoDefaultModel):
        parts.routes.default()
    await parts.registry.patch("iris", VersionPatch(is_default=True))
    assert parts.routes.default().id == first.id
    await parts.registry.patch("wine", VersionPatch(is_default=True))
    assert parts.routes.default().id == second.id
    assert not parts.routes.resolve("iris").is_default
    await parts.registry.patch("wine", VersionPatch(is_default=False))
    with pytest.raises(NoDefaultModel):
        parts.routes.default()


async def test_only_a_ready_version_is_the_default(parts: Parts) -> None:
    await parts.registry.create(NewVersion("iris"))
    with pytest.raises(ModelNotReady):
        await parts.registry.patch("iris", VersionPatch(is_default=True))


async def test_a_version_is_archived_and_brought_back(parts: Parts) -> None:
    await parts.add_ready("iris")
    await parts.add_ready("wine")
    await parts.registry.patch("iris", VersionPatch(is_default=True))
    row = await parts.registry.patch("iris", VersionPatch(status=ARCHIVED))
    assert (row.status, row.is_default) == (ARCHIVED, False)
    with pytest.raises(ModelNotReady, match="archived"):
        parts.routes.resolve("iris")
    assert parts.routes.default().name == "wine"
    row = await parts.registry.patch("iris", VersionPatch(status=READY))
    assert row.status is READY
    assert parts.routes.resolve("iris").id == row.id


@pytest.mark.parametrize("status", [READY, ARCHIVED])
async def test_a_version_without_a_verdict_is_neither_archived_nor_made_ready(
    parts: Parts, status: VersionStatus
) -> None:
    await parts.registry.create(NewVersion("iris"))
    with pytest.raises(StateForbids, match="pending"):
        await parts.registry.patch("iris", VersionPatch(status=status))


@pytest.mark.parametrize("status", [READY, ARCHIVED])
async def test_a_committed_version_takes_no_file_and_no_validation(
    parts: Parts, status: VersionStatus
) -> None:
    await parts.add_ready(status=status)
    with pytest.raises(StateForbids, match="never changes again"):
        await parts.registry.check_takes_file("iris")
    with pytest.raises(StateForbids, match="never changes again"):
        await parts.upload("iris", b"x")
    with pytest.raises(StateForbids, match="never changes again"):
        await parts.registry.validate("iris")


async def test_an_alias_is_set_moved_listed_and_removed(parts: Parts) -> None:
    await parts.add_ready("iris", "1.0.0")
    await parts.add_ready("iris", "2.0.0")
    await parts.registry.set_alias("iris", "production", "1.0.0")
    assert parts.routes.resolve("iris").version == "1.0.0"
    await parts.registry.set_alias("iris", "production", "2.0.0")
    await parts.registry.set_alias("iris", "canary", "1.0.0")
    pairs = await parts.registry.aliases_of("iris")
    assert [(alias, row.version) for alias, row in pairs] == [
        ("canary", "1.0.0"),
        ("production", "2.0.0"),
    ]
    assert (await parts.registry.get("iris:2.0.0")).aliases == ["production"]
    await parts.registry.delete_alias("iris", "canary")
    with pytest.raises(AliasNotFound):
        parts.routes.resolve("iris@canary")
    with pytest.raises(AliasNotFound):
        await parts.registry.delete_alias("iris", "canary")


async def test_an_alias_points_only_at_a_ready_version_of_its_name(
    parts: Parts,
) -> None:
    await parts.registry.create(NewVersion("iris", "1.0.0"))
    with pytest.raises(ModelNotReady):
        await parts.registry.set_alias("iris", "production", "1.0.0")
    with pytest.raises(ModelNotFound, match='no version "2"'):
        await parts.registry.set_alias("iris", "production", "2")
    with pytest.raises(ModelNotFound, match="wine"):
        await parts.registry.set_alias("wine", "production", "1.0.0")


async def test_versions_come_highest_first(parts: Parts) -> None:
    for version in ("1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-beta", "1.0.0"):
        await parts.add_ready("iris", version)
    await parts.registry.create(NewVersion("iris", "2.0.0"))
    rows = await parts.registry.versions_of("iris")
    assert [row.version for row in rows] == [
        "2.0.0",
        "1.0.0",
        "1.0.0-rc.10",
        "1.0.0-rc.2",
        "1.0.0-beta",
    ]
    ready = await parts.registry.latest("iris", ready_only=True)
    assert ready.version == "1.0.0"
    highest = await parts.registry.latest("iris", ready_only=False)
    assert highest.version == "2.0.0"


async def test_latest_without_a_ready_version(parts: Parts) -> None:
    await parts.registry.create(NewVersion("iris", "2.0.0"))
    await parts.registry.create(NewVersion("iris", "1.0.0"))
    row = await parts.registry.latest("iris", ready_only=False)
    assert row.version == "2.0.0"
    with pytest.raises(ModelNotFound, match="no ready version"):
        await parts.registry.latest("iris", ready_only=True)


async def test_clearing_the_cache_moves_the_epoch_in_the_routes(parts: Parts) -> None:
    row = await parts.add_ready()
    assert await parts.registry.clear_cache("iris") == row.id
    assert parts.routes.resolve("iris").cache_epoch == 1


async def test_the_list_is_paged(parts: Parts) -> None:
    for number in range(5):
        await parts.registry.create(NewVersion("iris", f"{number}.0.0"))
    page = await parts.registry.list_versions(VersionFilter(), page=2, page_size=2)
    assert page.total == 5
    assert [row.version for row in page.items] == ["2.0.0", "1.0.0"]
