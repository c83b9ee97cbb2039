"""Garbage collection: only what is old and wanted by nobody goes."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.artifacts.collecting import set_aside
from app.artifacts.layout import Layout
from app.artifacts.local import LocalStore
from app.artifacts.store import Artifact
from app.errors import DatabaseUnavailable
from tests.artifacts.files import commit_files, commit_model, names_in

GRACE_S = 3600.0


def age(data_dir: Path, artifact: Artifact) -> None:
    os.utime(data_dir / "artifacts" / artifact.digest[:2] / artifact.digest, (1, 1))


def answers(*sets: set[str]) -> Callable[[], Awaitable[set[str]]]:
    """Gives the sets one after another, as the database does while rows come."""
    left = list(sets)

    async def referenced() -> set[str]:
        return left.pop(0)

    return referenced


async def test_old_artifact_that_nothing_refers_to_goes(
    store: LocalStore, data_dir: Path
) -> None:
    wanted = await commit_model(store, b"wanted")
    orphan = await commit_files(store, model_onnx=b"orphan", m_data=b"weights")
    for artifact in (wanted, orphan):
        age(data_dir, artifact)
    keep = {wanted.digest}
    assert len(await store.collect(answers(keep, keep), grace_s=GRACE_S)) == 1
    await store.open(wanted)
    assert orphan.digest not in names_in(data_dir / "artifacts" / orphan.digest[:2])
    assert names_in(data_dir / "staging") == []


async def test_fresh_artifact_is_kept_for_its_grace(store: LocalStore) -> None:
    artifact = await commit_model(store, b"fresh")
    assert len(await store.collect(answers(set()), grace_s=GRACE_S)) == 0
    await store.open(artifact)


async def test_artifact_committed_again_begins_a_new_grace(
    store: LocalStore, data_dir: Path
) -> None:
    artifact = await commit_model(store, b"again")
    age(data_dir, artifact)
    await commit_model(store, b"again")
    assert len(await store.collect(answers(set()), grace_s=GRACE_S)) == 0
    await store.open(artifact)


async def test_artifact_committed_since_it_was_found_stale_is_not_set_aside(
    store: LocalStore, data_dir: Path
) -> None:
    renewed = await commit_model(store, b"renewed")
    old = await commit_model(store, b"old")
    age(data_dir, old)
    aside = data_dir / "aside"
    set_aside(Layout(data_dir), [renewed.digest, old.digest], aside, GRACE_S)
    assert names_in(aside) == [old.digest]
    await store.open(renewed)


async def test_artifact_referred_to_meanwhile_is_put_back(
    store: LocalStore, data_dir: Path
) -> None:
    artifact = await commit_model(store, b"late")
    age(data_dir, artifact)
    again = answers(set(), {artifact.digest})
    assert len(await store.collect(again, grace_s=GRACE_S)) == 0
    await store.open(artifact)
    assert names_in(data_dir / "staging") == []


async def test_artifact_committed_while_set_aside_stays(
    store: LocalStore, data_dir: Path
) -> None:
    artifact = await commit_model(store, b"twice")
    age(data_dir, artifact)
    asked = 0

    async def referenced() -> set[str]:
        nonlocal asked
        asked += 1
        if asked == 2:
            await commit_model(store, b"twice")
        return set()

    await store.collect(referenced, grace_s=GRACE_S)
    await store.open(artifact)
    assert names_in(data_dir / "staging") == []


async def test_artifacts_come_back_when_the_second_question_fails(
    store: LocalStore, data_dir: Path
) -> None:
    artifact = await commit_model(store, b"kept")
    age(data_dir, artifact)
    asked = 0

    async def referenced() -> set[str]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise DatabaseUnavailable("gone")
        return set()

    with pytest.raises(DatabaseUnavailable):
        await store.collect(referenced, grace_s=GRACE_S)
    await store.open(artifact)
    assert names_in(data_dir / "staging") == []


async def test_sweep_leaves_what_a_collection_set_aside(
    store: LocalStore, data_dir: Path
) -> None:
    artifact = await commit_model(store, b"aside")
    age(data_dir, artifact)
    swept: list[int] = []

    async def referenced() -> set[str]:
        swept.append(await LocalStore(data_dir).sweep_staging())
        return {artifact.digest} if len(swept) == 2 else set()

    await store.collect(referenced, grace_s=GRACE_S)
    assert swept == [0, 0]
    await store.open(artifact)


async def test_foreign_files_among_the_artifacts_are_left_alone(
    store: LocalStore, data_dir: Path
) -> None:
    foreign = data_dir / "artifacts" / "ab" / "notes.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"x")
    os.utime(foreign, (1, 1))
    assert len(await store.collect(answers(set()), grace_s=GRACE_S)) == 0
    assert foreign.exists()
