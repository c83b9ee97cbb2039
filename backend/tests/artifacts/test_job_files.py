"""The files of jobs: kept whole, swept when no job names them, found only by name."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

import pytest

from app.artifacts.job_files import JobFiles
from app.artifacts.local import LocalStore
from app.errors import InvalidField
from tests.artifacts.files import chunks_of, names_in

BODY = b"x,y\n1,2\n"


@pytest.fixture
def files(data_dir: Path) -> JobFiles:
    return JobFiles(data_dir)


async def kept(files: JobFiles, body: bytes = BODY) -> str:
    job_id = str(uuid4())
    async with files.receiving() as incoming:
        await incoming.add(chunks_of(body))
        await files.keep(incoming, job_id)
    return job_id


async def test_a_kept_file_is_the_jobs_input_and_nothing_else_stays(
    files: JobFiles, data_dir: Path
) -> None:
    async with files.receiving() as incoming:
        await incoming.add(chunks_of(BODY[:3], BODY[3:]))
        assert incoming.path.read_bytes() == BODY
        assert incoming.size_bytes == len(BODY)
        assert incoming.sha256 == hashlib.sha256(BODY).hexdigest()
        job_id = str(uuid4())
        await files.keep(incoming, job_id)
    assert (files.folder(job_id) / "input").read_bytes() == BODY
    assert names_in(data_dir / "staging") == []


async def test_a_file_that_is_not_kept_leaves_nothing(
    files: JobFiles, data_dir: Path
) -> None:
    async with files.receiving() as incoming:
        await incoming.add(chunks_of(BODY))
    assert names_in(data_dir / "staging") == []
    assert names_in(data_dir / "jobs") == []


async def test_a_living_upload_survives_the_sweep_of_staging(
    files: JobFiles, data_dir: Path
) -> None:
    async with files.receiving() as incoming:
        await incoming.add(chunks_of(BODY))
        assert await LocalStore(data_dir).sweep_staging() == 0
        assert incoming.path.read_bytes() == BODY


async def test_a_copied_source_is_apart_from_its_original(
    files: JobFiles, data_dir: Path
) -> None:
    original = _put(data_dir, "orders.csv")
    async with files.receiving() as incoming:
        await incoming.copy(files.source("orders.csv"))
        original.write_bytes(b"changed since")
        assert incoming.path.read_bytes() == BODY
        assert incoming.sha256 == hashlib.sha256(BODY).hexdigest()


async def test_a_removed_job_leaves_no_files_and_may_be_removed_again(
    files: JobFiles, data_dir: Path
) -> None:
    job_id = await kept(files)
    await files.remove(job_id)
    await files.remove(job_id)
    assert names_in(data_dir / "jobs") == []
    assert names_in(data_dir / "staging") == []


async def test_the_sweep_takes_folders_that_no_job_names(files: JobFiles) -> None:
    named, orphan = await kept(files), await kept(files)

    async def known() -> set[str]:
        return {named}

    assert await files.sweep(known, grace_s=3600) == 0
    assert await files.sweep(known, grace_s=0) == 1
    assert files.folder(named).is_dir()
    assert not files.folder(orphan).exists()


async def test_the_sweep_leaves_what_is_not_a_jobs_folder(
    files: JobFiles, data_dir: Path
) -> None:
    await kept(files)
    (data_dir / "jobs" / "README").mkdir()

    async def known() -> set[str]:
        return set()

    assert await files.sweep(known, grace_s=0) == 1
    assert names_in(data_dir / "jobs") == ["README"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../secret.csv",
        "a/../../secret.csv",
        "/etc/passwd",
        "nul\0byte",
        "absent.csv",
        "folder",
        "way_out",
        "way_out/passwd",
        "loop",
        "fifo",
        "x" * 5000,
    ],
)
def test_a_source_is_a_file_inside_the_inbox(
    files: JobFiles, data_dir: Path, name: str
) -> None:
    _put(data_dir, "folder/inside.csv")
    inbox = data_dir / "inbox"
    (data_dir / "secret.csv").write_bytes(BODY)
    (inbox / "way_out").symlink_to("/etc")
    (inbox / "loop").symlink_to("loop")
    os.mkfifo(inbox / "fifo")
    with pytest.raises(InvalidField, match="source: ") as raised:
        files.source(name)
    assert str(data_dir) not in raised.value.detail


def test_a_source_may_lie_in_a_folder_of_the_inbox(
    files: JobFiles, data_dir: Path
) -> None:
    path = _put(data_dir, "january/orders.csv")
    assert files.source("january/orders.csv") == path.resolve()


def _put(data_dir: Path, name: str) -> Path:
    path = data_dir / "inbox" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(BODY)
    return path
