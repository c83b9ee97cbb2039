"""Staging of dead processes goes; that of living ones stays."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from app.artifacts.claims import Claim, sweep
from app.artifacts.local import LocalStore
from app.artifacts.store import MODEL_FILE
from tests.artifacts.files import chunks_of, names_in

_UPLOADER = """
import asyncio, sys
from pathlib import Path
from app.artifacts.claims import Claim, sweep
from app.artifacts.local import LocalStore

async def chunks():
    yield bytes(2 << 20)
    print("uploading", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    yield b"the end"

async def main():
    store = LocalStore(Path(sys.argv[1]))
    async with store.stage() as staging:
        await staging.add("model.onnx", chunks())
        await store.commit(staging)

asyncio.run(main())
"""


@contextmanager
def uploading_process(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that stands still in the middle of an upload until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", _UPLOADER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "uploading\n"
            yield process
        finally:
            process.kill()


async def test_sweep_removes_what_a_killed_process_left(data_dir: Path) -> None:
    store = LocalStore(data_dir)
    with uploading_process(data_dir) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        assert len(names_in(data_dir / "staging")) == 2
        assert await store.sweep_staging() == 1
    assert names_in(data_dir / "staging") == []
    assert names_in(data_dir / "artifacts") == []


async def test_sweep_leaves_the_upload_of_a_living_process(data_dir: Path) -> None:
    with uploading_process(data_dir) as process:
        assert await LocalStore(data_dir).sweep_staging() == 0
        process.communicate("go on\n", timeout=20)
        assert process.returncode == 0
    assert names_in(data_dir / "staging") == []
    assert len(names_in(data_dir / "artifacts")) == 1


async def test_sweep_leaves_the_upload_of_its_own_process(data_dir: Path) -> None:
    async with LocalStore(data_dir).stage() as staging:
        await staging.add(MODEL_FILE, chunks_of(b"x"))
        assert await LocalStore(data_dir).sweep_staging() == 0
        assert names_in(staging.directory) == [MODEL_FILE]


def test_sweep_never_takes_a_place_that_is_just_being_claimed(data_dir: Path) -> None:
    with ThreadPoolExecutor() as threads:
        sweeping = threads.submit(lambda: [sweep(data_dir) for _ in range(3000)])
        while not sweeping.done():
            claim = Claim.new(data_dir)
            claim.directory.mkdir()
            sweep(data_dir)
            assert claim.directory.is_dir()
            claim.release()
        sweeping.result()
    assert names_in(data_dir) == []


async def test_sweep_removes_a_folder_without_a_lock(data_dir: Path) -> None:
    (data_dir / "staging" / "left").mkdir(parents=True)
    (data_dir / "staging" / "left" / "file").write_bytes(b"x")
    assert await LocalStore(data_dir).sweep_staging() == 1
    assert names_in(data_dir / "staging") == []


async def test_sweep_of_a_link_leaves_its_target(data_dir: Path) -> None:
    precious = data_dir / "precious"
    precious.mkdir(parents=True)
    (precious / "file").write_bytes(b"x")
    (data_dir / "staging").mkdir()
    (data_dir / "staging" / "link").symlink_to(precious)
    await LocalStore(data_dir).sweep_staging()
    assert names_in(data_dir / "staging") == []
    assert names_in(precious) == ["file"]


async def test_sweep_of_a_new_data_folder_finds_nothing(data_dir: Path) -> None:
    assert await LocalStore(data_dir / "new").sweep_staging() == 0
