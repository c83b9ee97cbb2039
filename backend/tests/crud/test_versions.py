"""Versions in the tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from fnmatch import fnmatchcase

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from app.auth.principal import as_regex
from app.crud import aliases, models, versions
from app.crud.versions import VersionFilter
from app.database import Database
from app.enums import VersionStatus
from tests.crud.rows import START, add_row

EVERYTHING = VersionFilter()


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def _add_many(database: Database, count: int) -> None:
    async with database.transaction() as db:
        for number in range(count):
            row = await add_row(db, f"model-{number % 7}", f"{number}", minute=number)
            await aliases.put_alias(db, row.model_id, f"a{number}", row.id)


async def test_a_row_comes_back_as_it_went_in(database: Database) -> None:
    metadata = {"b": [1, 2.5, None, True], "a": {"ü": "∞"}, "big": 2**63 - 1}
    async with database.transaction() as db:
        row = await add_row(db, "iris", "1.0.0", model_metadata=metadata)
    async with database.reading() as db:
        found = await versions.find_named(db, "iris", "1.0.0")
    assert found is not None
    assert found.id == row.id
    assert list(found.model_metadata) == list(metadata)
    assert found.model_metadata == metadata
    assert found.created_at == START
    assert found.created_at.tzinfo is UTC
    assert found.status is VersionStatus.PENDING
    assert found.files is None


async def test_the_number_of_queries_does_not_grow_with_the_list(
    database: Database,
) -> None:
    counts = []
    for size in (1, 40):
        await _add_many(database, size) if size > 1 else await _seed_one(database)
        with counted_statements() as statements:
            async with database.reading() as db:
                await versions.page_of_versions(db, EVERYTHING, page=1, page_size=100)
        counts.append(len(statements))
    assert counts == [3, 3]


async def _seed_one(database: Database) -> None:
    async with database.transaction() as db:
        await add_row(db, "first", "1.0.0")


async def test_pages_are_newest_first_and_complete(database: Database) -> None:
    await _add_many(database, 23)
    seen: list[str] = []
    for page in (1, 2, 3, 4):
        async with database.reading() as db:
            rows, total = await versions.page_of_versions(
                db, EVERYTHING, page=page, page_size=10
            )
        assert total == 23
        seen += [row.version for row in rows]
    assert seen == [str(number) for number in reversed(range(23))]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (VersionFilter(name="iris"), {"iris"}),
        (VersionFilter(name="iri"), set()),
        (VersionFilter(search="IRI"), {"iris", "viri"}),
        (VersionFilter(search="flowers"), {"iris"}),
        (VersionFilter(search="100%"), {"wine"}),
        (VersionFilter(search="_"), set()),
        (VersionFilter(status=VersionStatus.READY), {"wine"}),
        (VersionFilter(status=VersionStatus.READY, search="iris"), set()),
    ],
)
async def test_filters_narrow_the_list(
    database: Database, wanted: VersionFilter, expected: set[str]
) -> None:
    async with database.transaction() as db:
        await add_row(db, "iris", "1", description="Flowers by length")
        await add_row(db, "viri", "1")
        await add_row(
            db, "wine", "1", description="100% red", status=VersionStatus.READY
        )
    async with database.reading() as db:
        rows, total = await versions.page_of_versions(db, wanted, page=1, page_size=10)
    assert {row.name for row in rows} == expected
    assert total == len(expected)


async def test_heads_come_highest_first(database: Database) -> None:
    async with database.transaction() as db:
        for minute, version in enumerate(["1.0.0-rc.10", "1.0.0-rc.2", "x", "1.0.0"]):
            row = await add_row(db, "iris", version, minute=minute)
        heads = await versions.heads_of(db, row.model_id)
    assert [head.version for head in heads] == [
        "1.0.0",
        "1.0.0-rc.10",
        "1.0.0-rc.2",
        "x",
    ]


async def test_a_name_has_each_version_once(database: Database) -> None:
    async with database.transaction() as db:
        await add_row(db, "iris", "1.0.0")
    with pytest.raises(IntegrityError):
        async with database.transaction() as db:
            await add_row(db, "iris", "1.0.0")


async def test_there_is_one_default_at_most(database: Database) -> None:
    async with database.transaction() as db:
        await add_row(db, "iris", "1", is_default=True)
        await add_row(db, "wine", "1")
    with pytest.raises(IntegrityError):
        async with database.transaction() as db:
            await add_row(db, "wine", "2", is_default=True)


async def test_a_deleted_version_takes_its_aliases_along(database: Database) -> None:
    async with database.transaction() as db:
        row = await add_row(db, "iris", "1")
        await aliases.put_alias(db, row.model_id, "production", row.id)
    async with database.transaction() as db:
        await versions.delete_version(db, row.id)
    async with database.reading() as db:
        assert await aliases.find_alias(db, row.model_id, "production") is None
        assert await models.find_model(db, "iris") is not None


async def test_validation_is_written_only_on_the_file_it_was_about(
    database: Database,
) -> None:
    ready = {"status": VersionStatus.READY}
    async with database.transaction() as db:
        row = await add_row(
            db, "iris", "1", status=VersionStatus.VALIDATING, digest="a" * 64
        )
    async with database.transaction() as db:
        assert not await versions.finish_validation(db, row.id, "b" * 64, ready)
        assert await versions.finish_validation(db, row.id, "a" * 64, ready)
        assert not await versions.finish_validation(db, row.id, "a" * 64, ready)


async def test_digests_in_use_are_each_named_once(database: Database) -> None:
    async with database.transaction() as db:
        await add_row(db, "iris", "1", digest="a" * 64)
        await add_row(db, "iris", "2", digest="a" * 64)
        await add_row(db, "iris", "3")
    async with database.reading() as db:
        assert await versions.referenced_digests(db) == {"a" * 64}


async def test_names_changed_since_a_revision_are_found(database: Database) -> None:
    async with database.transaction() as db:
        first = await add_row(db, "iris", "1")
        await add_row(db, "wine", "1")
        since = first.model.revision
    async with database.reading() as db:
        assert await models.names_changed_since(db, since) == ["wine"]
        assert await models.names_changed_since(db, 0) == ["iris", "wine"]


async def test_versions_are_found_by_what_their_name_matches(
    database: Database,
) -> None:
    names = ("a-1.x", "a-1yx", "A-1.x", "b_1", "ba-1.x")
    async with database.transaction() as db:
        for minute, name in enumerate(names):
            await add_row(db, name, "1.0.0", minute=minute)
    for pattern in ("a-1.x", "a-*", "*_?", "?a*", "*"):
        wanted = VersionFilter(names=as_regex(pattern))
        async with database.reading() as db:
            found, total = await versions.page_of_versions(
                db, wanted, page=1, page_size=10
            )
        seen = {name for name in names if fnmatchcase(name, pattern)}
        assert {row.name for row in found} == seen, pattern
        assert total == len(seen)
