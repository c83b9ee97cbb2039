"""Committed artifacts: whole, durable, checked on every use."""

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import pytest
import structlog.testing

from app.artifacts.local import LocalStore
from app.artifacts.store import MODEL_FILE, Artifact, ArtifactFile
from app.errors import ArtifactCorrupt, InsufficientStorage, NotFound
from tests.artifacts.files import (
    chunks_of,
    commit_files,
    commit_model,
    names_in,
    sha256,
)


def place_of(data_dir: Path, artifact: Artifact) -> Path:
    return data_dir / "artifacts" / artifact.digest[:2] / artifact.digest


async def test_lone_model_is_found_under_its_own_hash(
    store: LocalStore, data_dir: Path
) -> None:
    artifact = await commit_model(store, b"graph")
    assert artifact.digest == sha256(b"graph") == artifact.model.sha256
    folder = await store.open(artifact)
    assert folder == place_of(data_dir, artifact)
    assert (folder / MODEL_FILE).read_bytes() == b"graph"
    assert stat.S_IMODE((folder / MODEL_FILE).stat().st_mode) == 0o440
    assert names_in(folder) == [MODEL_FILE]
    assert names_in(data_dir / "staging") == []


async def test_digest_of_two_files_names_both_contents(store: LocalStore) -> None:
    artifact = await commit_files(store, m_data=b"weights", model_onnx=b"graph")
    other = await commit_files(store, m_data=b"Weights", model_onnx=b"graph")
    renamed = await commit_files(store, n_data=b"weights", model_onnx=b"graph")
    assert [file.name for file in artifact.files] == [MODEL_FILE, "m.data"]
    lines = f"{sha256(b'graph')} {MODEL_FILE}\n{sha256(b'weights')} m.data\n"
    assert artifact.digest == hashlib.sha256(lines.encode()).hexdigest()
    assert len({artifact.digest, other.digest, renamed.digest}) == 3
    assert artifact.size_bytes == len(b"graphweights")


async def test_order_of_arrival_does_not_change_the_artifact(store: LocalStore) -> None:
    first = await commit_files(store, model_onnx=b"g", b_data=b"1", a_data=b"2")
    second = await commit_files(store, a_data=b"2", b_data=b"1", model_onnx=b"g")
    assert first == second


def test_artifact_without_a_graph_is_impossible() -> None:
    with pytest.raises(ValueError, match=r"model\.onnx"):
        Artifact.of([ArtifactFile("m.data", 1, sha256(b"x"))])


async def test_same_content_again_reuses_the_artifact_and_renews_it(
    store: LocalStore, data_dir: Path
) -> None:
    artifact = await commit_model(store, b"graph")
    place = place_of(data_dir, artifact)
    os.utime(place, (1, 1))
    inode = (place / MODEL_FILE).stat().st_ino
    assert await commit_model(store, b"graph") == artifact
    assert (place / MODEL_FILE).stat().st_ino == inode
    assert place.stat().st_mtime > 1
    assert names_in(data_dir / "staging") == []


async def test_concurrent_commits_of_one_content_all_succeed(
    store: LocalStore, data_dir: Path
) -> None:
    artifacts = await asyncio.gather(
        *(commit_model(store, b"graph") for _ in range(20))
    )
    assert len(set(artifacts)) == 1
    await store.open(artifacts[0])
    assert names_in(data_dir / "staging") == []


_COMMITTER = """
import asyncio, sys
from pathlib import Path
from app.artifacts.local import LocalStore
from tests.artifacts.files import commit_model

async def main():
    store = LocalStore(Path(sys.argv[1]))
    for number in range(30):
        await store.open(await commit_model(store, b"graph %d" % (number % 3)))

asyncio.run(main())
"""


async def test_processes_that_commit_the_same_contents_all_succeed(
    store: LocalStore, data_dir: Path
) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _COMMITTER, str(data_dir)]
    processes = [
        await asyncio.create_subprocess_exec(*command, cwd=root) for _ in range(3)
    ]
    assert [await process.wait() for process in processes] == [0, 0, 0]
    assert names_in(data_dir / "staging") == []
    assert await store.sweep_staging() == 0


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o640)
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.chmod(0o640)
    os.truncate(file, 3)


def link(file: Path) -> None:
    elsewhere = file.parent.parent.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def link_folder(file: Path) -> None:
    elsewhere = file.parent.parent.parent / "elsewhere"
    file.parent.rename(elsewhere)
    file.parent.symlink_to(elsewhere)


def make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGES = [flip, truncate, Path.unlink, link, link_folder, make_pipe]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", [MODEL_FILE, "m.data"])
async def test_damaged_artifact_is_never_opened(
    store: LocalStore, data_dir: Path, damage: Callable[[Path], None], name: str
) -> None:
    artifact = await commit_files(store, model_onnx=b"graph", m_data=b"weights")
    damage(place_of(data_dir, artifact) / name)
    with (
        structlog.testing.capture_logs() as logs,
        pytest.raises(ArtifactCorrupt) as raised,
    ):
        await store.open(artifact)
    assert str(data_dir) not in raised.value.detail
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("artifact_corrupt", "error")
    ]
    assert logs[0]["digest"] == artifact.digest


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_uploading_the_same_content_again_heals_a_damaged_artifact(
    store: LocalStore, data_dir: Path, damage: Callable[[Path], None]
) -> None:
    artifact = await commit_files(store, model_onnx=b"graph", m_data=b"weights")
    damage(place_of(data_dir, artifact) / MODEL_FILE)
    assert await commit_files(store, model_onnx=b"graph", m_data=b"weights") == artifact
    await store.open(artifact)
    assert names_in(data_dir / "staging") == []


async def test_path_gives_each_file(store: LocalStore) -> None:
    artifact = await commit_files(store, model_onnx=b"graph", m_data=b"weights")
    assert (await store.path(artifact, MODEL_FILE)).read_bytes() == b"graph"
    assert (await store.path(artifact, "m.data")).read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["other.data", "../x", "", "/etc/passwd"])
async def test_path_of_a_file_that_is_not_the_artifacts_is_not_found(
    store: LocalStore, name: str
) -> None:
    artifact = await commit_model(store, b"graph")
    with pytest.raises(NotFound, match=r"its files are model\.onnx"):
        await store.path(artifact, name)


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_path_of_a_damaged_file_is_corruption(
    store: LocalStore,
    data_dir: Path,
    damage: Callable[[Path], None],
    asked_before: bool,
) -> None:
    artifact = await commit_model(store, b"graph")
    if asked_before:
        await store.path(artifact, MODEL_FILE)
    damage(place_of(data_dir, artifact) / MODEL_FILE)
    with structlog.testing.capture_logs(), pytest.raises(ArtifactCorrupt):
        await store.path(artifact, MODEL_FILE)


async def test_a_file_is_hashed_for_its_first_download_alone(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = await commit_files(store, model_onnx=b"graph", m_data=b"weights")
    hashed: list[str] = []
    really = hashlib.file_digest

    def counted(stream: BufferedReader, kind: str) -> object:
        hashed.append(kind)
        return really(stream, kind)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    for name in (MODEL_FILE, MODEL_FILE, "m.data", MODEL_FILE, "m.data"):
        await store.path(artifact, name)
    assert len(hashed) == 2


async def nothing() -> set[str]:
    return set()


async def test_a_commit_is_taken_back(store: LocalStore, data_dir: Path) -> None:
    async with store.stage() as staging:
        await staging.add(MODEL_FILE, chunks_of(b"graph"))
        artifact = await store.commit(staging)
        await store.take_back(staging, nothing)
    assert not place_of(data_dir, artifact).exists()
    assert names_in(data_dir / "staging") == []


async def test_what_is_referenced_is_not_taken_back(store: LocalStore) -> None:
    async with store.stage() as staging:
        await staging.add(MODEL_FILE, chunks_of(b"graph"))
        artifact = await store.commit(staging)

        async def referenced() -> set[str]:
            return {artifact.digest}

        await store.take_back(staging, referenced)
    await store.open(artifact)


@pytest.mark.parametrize("comes", ["before", "after"])
async def test_what_another_commit_counts_on_is_not_taken_back(
    store: LocalStore, comes: str
) -> None:
    """The other one's row may be about to be written."""
    if comes == "before":
        await commit_model(store, b"graph")
    async with store.stage() as staging:
        await staging.add(MODEL_FILE, chunks_of(b"graph"))
        artifact = await store.commit(staging)
        if comes == "after":
            await commit_model(store, b"graph")
        await store.take_back(staging, nothing)
    await store.open(artifact)


async def test_full_disk_at_commit_leaves_nothing(
    store: LocalStore, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        async with store.stage() as staging:
            await staging.add(MODEL_FILE, chunks_of(b"graph"))
            with pytest.raises(InsufficientStorage):
                await store.commit(staging)
    assert names_in(data_dir / "staging") == []
    assert names_in(data_dir / "artifacts") == []
