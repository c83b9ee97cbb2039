"""The files of jobs: what came in, the parts that workers write, the results.

All of a job lies in `jobs/<job id>/`, which appears whole and goes whole.
"""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from app.artifacts.claims import Claim
from app.artifacts.disk import (
    full_disk_is_told,
    in_thread,
    remove_tree,
    sync_directory,
    sync_file,
)
from app.artifacts.layout import Layout
from app.artifacts.staging import LocalStaging
from app.artifacts.store import ArtifactFile
from app.errors import InvalidField

INPUT: Final = "input"
PARTS: Final = "parts"
# Where the id of the store lies, in a folder of its own.
STORE: Final = "store"
_ID: Final = "id"
_READ_BYTES: Final = 1 << 20
_SHOWN: Final = 200


class Incoming:
    """A file on its way in, in a private folder that goes unless it is kept."""

    def __init__(self, staging: LocalStaging) -> None:
        self._staging = staging
        self._file: ArtifactFile | None = None

    @property
    def path(self) -> Path:
        return self._staging.directory / INPUT

    @property
    def size_bytes(self) -> int:
        return self._arrived.size_bytes

    @property
    def sha256(self) -> str:
        return self._arrived.sha256

    async def add(self, chunks: AsyncIterator[bytes]) -> None:
        """Streams the file to disk and hashes it on the way, once.

        Raises InsufficientStorage when the disk is full.
        """
        self._file = await self._staging.add(INPUT, chunks)

    async def copy(self, source: Path) -> None:
        """Takes a copy, so that nobody changes the input of a job any more."""
        await self.add(_blocks(source))

    @property
    def _arrived(self) -> ArtifactFile:
        if self._file is None:
            raise RuntimeError("add the file first")
        return self._file


class JobFiles:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._staging = Layout(data_dir).staging
        self._jobs = data_dir / "jobs"
        self._inbox = data_dir / "inbox"

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Incoming]:
        async with LocalStaging(self._staging) as staging:
            yield Incoming(staging)

    async def keep(self, incoming: Incoming, job_id: str) -> None:
        """Makes the file durable as the input of the job."""
        await in_thread(lambda: self._keep(incoming.path, self.folder(job_id)))

    async def store(self) -> str | None:
        """The id by which all know that they see the same files; None where there is
        no store, or it can't be read."""
        return await in_thread(self._read_store)

    async def make_store(self) -> str:
        """The same, of a store that is made where there was none."""
        return await in_thread(self._make_store)

    def folder(self, job_id: str) -> Path:
        return self._jobs / str(UUID(job_id))

    def input(self, job_id: str) -> Path:
        return self.folder(job_id) / INPUT

    def part(self, job_id: str, name: str) -> Path:
        return self.folder(job_id) / PARTS / name

    async def keep_part(self, part: Path) -> None:
        """Makes durable what was written of a part, `part` with some suffixes."""
        await in_thread(lambda: _sync_all(part.parent, f"{part.name}."))

    async def keep_plain(self, plain: Path) -> str:
        """The same for an unpacked input; gives its name, the input's if there is
        none."""
        found = await in_thread(lambda: _sync_all(plain.parent, plain.name))
        return plain.name if found else INPUT

    async def names(self, job_id: str) -> set[str]:
        """Of the job's files, relative to its folder; those of parts after `parts/`."""
        return await in_thread(lambda: set(_names(self.folder(job_id))))

    async def discard(self, job_id: str, names: Iterable[str]) -> None:
        """Removes files that nothing names any more; what can't go stays."""
        folder = self.folder(job_id)
        await in_thread(lambda: _discard(folder, names))

    async def remove(self, job_id: str) -> None:
        await in_thread(lambda: self._remove(self.folder(job_id)))

    async def sweep(
        self, known: Callable[[], Awaitable[set[str]]], grace_s: float
    ) -> int:
        """Removes folders that no job names and nobody made in the last `grace_s`."""
        stale = await in_thread(lambda: self._list_stale(grace_s))
        if not stale:
            return 0
        gone = stale - await known()
        for job_id in gone:
            await self.remove(job_id)
        return len(gone)

    def source(self, name: str) -> Path:
        """The file of this name in the inbox, which the operator fills."""
        inbox = self._inbox.resolve()
        parts = Path(name).parts
        if not parts or "\0" in name or ".." in parts or Path(name).is_absolute():
            raise InvalidField(
                f"source: {name[:_SHOWN]!r} is no name of an object in the store; "
                "wanted is one such as 'january/orders.csv', relative to its inbox"
            )
        with suppress(OSError, RuntimeError):
            path = (inbox / name).resolve(strict=True)
            if path.is_relative_to(inbox) and path.is_file():
                return path
        raise InvalidField(
            f"source: there is no object {name[:_SHOWN]!r} in the store's inbox; put "
            "the file there first, or send it with the request"
        )

    def _keep(self, file: Path, folder: Path) -> None:
        staged = file.parent
        with full_disk_is_told():
            file.chmod(0o440)
            (staged / PARTS).mkdir(mode=0o750)
            sync_file(file)
            # A long upload is no reason for an early sweep.
            os.utime(staged)
            sync_directory(staged)
            self._make_jobs()
            staged.rename(folder)
            sync_directory(self._jobs)

    def _make_jobs(self) -> None:
        if not self._jobs.is_dir():
            self._jobs.mkdir(mode=0o750, parents=True, exist_ok=True)
            sync_directory(self._jobs.parent)

    def _read_store(self) -> str | None:
        with suppress(OSError, UnicodeDecodeError):
            return (self._jobs / STORE / _ID).read_text("ascii").strip() or None
        return None

    def _make_store(self) -> str:
        """Of several that make one at once the first wins: a folder that is there
        can't be renamed over."""
        if found := self._read_store():
            return found
        with full_disk_is_told():
            self._make_jobs()
            new = self._jobs / f"{STORE}-{uuid4()}"
            new.mkdir(mode=0o750)
            (new / _ID).write_text(f"{uuid4()}\n", "ascii")
            sync_file(new / _ID)
            sync_directory(new)
            try:
                new.rename(self._jobs / STORE)
            except OSError:
                remove_tree(new)
            sync_directory(self._jobs)
        return (self._jobs / STORE / _ID).read_text("ascii").strip()

    def _remove(self, folder: Path) -> None:
        """One rename takes it away, so no reader meets a folder half removed."""
        if not folder.exists():
            return
        claim = Claim.new(self._staging)
        try:
            with suppress(FileNotFoundError):
                folder.rename(claim.directory)
        finally:
            claim.release()

    def _list_stale(self, grace_s: float) -> set[str]:
        if not self._jobs.is_dir():
            return set()
        made_before = time.time() - grace_s
        return {
            entry.name
            for entry in os.scandir(self._jobs)
            if _is_id(entry.name) and entry.stat().st_mtime <= made_before
        }


def _names(folder: Path) -> Iterator[str]:
    for entry in os.scandir(folder):
        if not entry.is_dir(follow_symlinks=False):
            yield entry.name
    for name in os.listdir(folder / PARTS):
        yield f"{PARTS}/{name}"


def _discard(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        with suppress(OSError):
            (folder / name).unlink()


def _sync_all(folder: Path, prefix: str) -> int:
    """Makes durable what is named so; gives how many files."""
    paths = [folder / name for name in os.listdir(folder) if name.startswith(prefix)]
    with full_disk_is_told():
        for path in paths:
            sync_file(path)
        sync_directory(folder)
    return len(paths)


async def _blocks(source: Path) -> AsyncIterator[bytes]:
    file = await in_thread(lambda: source.open("rb", buffering=0))
    try:
        while block := await in_thread(lambda: file.read(_READ_BYTES)):
            yield block
    finally:
        file.close()


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
