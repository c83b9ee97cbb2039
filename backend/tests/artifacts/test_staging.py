"""Files that arrive: hashed, bounded, private, and gone unless committed."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.artifacts.local import LocalStore
from app.artifacts.store import MAX_COMPANIONS, MODEL_FILE
from app.errors import InsufficientStorage, InvalidField
from tests.artifacts.files import chunks_of, names_in, sha256


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chunks=st.lists(st.binary(max_size=300), max_size=20))
async def test_added_file_has_the_size_and_hash_of_all_its_chunks(
    store: LocalStore, chunks: list[bytes]
) -> None:
    whole = b"".join(chunks)
    async with store.stage() as staging:
        file = await staging.add(MODEL_FILE, chunks_of(*chunks))
        assert (staging.directory / MODEL_FILE).read_bytes() == whole
    assert (file.size_bytes, file.sha256) == (len(whole), sha256(whole))


async def test_chunks_larger_than_a_hop_are_written_whole(store: LocalStore) -> None:
    chunks = [os.urandom(size) for size in (5, 3 << 20, 1 << 20, (1 << 20) - 1, 7)]
    async with store.stage() as staging:
        file = await staging.add(MODEL_FILE, chunks_of(*chunks))
        assert (staging.directory / MODEL_FILE).read_bytes() == b"".join(chunks)
    assert file.sha256 == sha256(b"".join(chunks))


async def test_staging_leaves_nothing_behind(store: LocalStore, data_dir: Path) -> None:
    async with store.stage() as staging:
        await staging.add(MODEL_FILE, chunks_of(b"x"))
        assert names_in(staging.directory) == [MODEL_FILE]
    assert names_in(data_dir / "staging") == []


async def test_staging_leaves_nothing_behind_after_a_failing_sender(
    store: LocalStore, data_dir: Path
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with store.stage() as staging:
            await staging.add(MODEL_FILE, failing())
    assert names_in(data_dir / "staging") == []


async def test_cancelled_upload_leaves_nothing_behind(
    store: LocalStore, data_dir: Path
) -> None:
    waiting = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        waiting.set()
        await asyncio.Event().wait()

    async def upload() -> None:
        async with store.stage() as staging:
            await staging.add(MODEL_FILE, stalled())

    task = asyncio.create_task(upload())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_in(data_dir / "staging") == []


async def test_upload_cancelled_before_it_begins_leaves_nothing_behind(
    store: LocalStore, data_dir: Path
) -> None:
    async def upload() -> None:
        async with store.stage():
            await asyncio.Event().wait()

    for turns in range(4):
        task = asyncio.create_task(upload())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert names_in(data_dir / "staging") == []
    assert await store.sweep_staging() == 0


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        ".hidden",
        "-x",
        "a b",
        "ä",
        "a\n",
        "a\x00b",
        "a\\b",
        "a" * 129,
    ],
)
async def test_unsafe_companion_name_is_refused(store: LocalStore, name: str) -> None:
    async with store.stage() as staging:
        with pytest.raises(InvalidField, match="companion"):
            await staging.add(name, chunks_of(b"x"))
        assert names_in(staging.directory) == []


async def test_second_file_of_one_name_is_refused(store: LocalStore) -> None:
    async with store.stage() as staging:
        await staging.add("m.data", chunks_of(b"x"))
        with pytest.raises(InvalidField, match="send each file once"):
            await staging.add("m.data", chunks_of(b"y"))


async def test_more_companions_than_allowed_are_refused(store: LocalStore) -> None:
    async with store.stage() as staging:
        await staging.add(MODEL_FILE, chunks_of(b"x"))
        for number in range(MAX_COMPANIONS):
            await staging.add(f"w{number}", chunks_of(b"x"))
        with pytest.raises(InvalidField, match="at most 16"):
            await staging.add("one-more", chunks_of(b"x"))


async def test_renamed_file_keeps_its_content(store: LocalStore) -> None:
    async with store.stage() as staging:
        added = await staging.add("first", chunks_of(b"x"))
        renamed = await staging.rename("first", MODEL_FILE)
        assert (staging.directory / MODEL_FILE).read_bytes() == b"x"
        assert (renamed.name, renamed.sha256) == (MODEL_FILE, added.sha256)
        assert staging.artifact().files == (renamed,)


async def test_full_disk_is_insufficient_storage(
    store: LocalStore, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with store.stage() as staging:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(InsufficientStorage):
                await staging.add(MODEL_FILE, chunks_of(b"x"))
    assert names_in(data_dir / "staging") == []


_BIG_UPLOAD = """
import asyncio, re, sys
from pathlib import Path
from app.artifacts.local import LocalStore

async def chunks():
    for _ in range(4096):
        yield bytes(65536)

def peak_kb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

async def main():
    store = LocalStore(Path(sys.argv[1]))
    before = peak_kb()
    async with store.stage() as staging:
        file = await staging.add("model.onnx", chunks())
        artifact = await store.commit(staging)
    await store.open(artifact)
    print(file.size_bytes >> 20, (peak_kb() - before) >> 10)

asyncio.run(main())
"""


def test_256_mb_upload_adds_less_than_64_mb_to_the_process(data_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BIG_UPLOAD, str(data_dir)],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    size_mb, grown_mb = map(int, done.stdout.split())
    assert size_mb == 256
    assert grown_mb < 64
