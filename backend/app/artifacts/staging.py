"""Files that arrive: streamed to a private folder and hashed on the way."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from app.artifacts.claims import Claim
from app.artifacts.disk import full_disk_is_told, in_thread, write_all
from app.artifacts.store import (
    MAX_COMPANIONS,
    MODEL_FILE,
    Artifact,
    ArtifactFile,
    check_companion_name,
)
from app.errors import InvalidField

# One hop to a thread costs about 40 µs, writing and hashing 1 MiB about 0.7 ms.
_HOP_BYTES = 1 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStaging:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._claim: Claim | None = None
        self._files: dict[str, ArtifactFile] = {}
        self.placed_ns: int | None = None

    @property
    def directory(self) -> Path:
        if self._claim is None:
            raise RuntimeError("enter the staging before using it")
        return self._claim.directory

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_exit(self)
            await in_thread(self._open)
            stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await in_thread(self._close)

    async def add(self, name: str, chunks: AsyncIterator[bytes]) -> ArtifactFile:
        self._check_name(name)
        incoming = _IncomingFile(self.directory / name)
        try:
            async for chunk in chunks:
                if incoming.take(chunk):
                    await in_thread(incoming.flush)
            await in_thread(incoming.flush)
        finally:
            await in_thread(incoming.close)
        self._files[name] = ArtifactFile(name, incoming.size_bytes, incoming.sha256)
        return self._files[name]

    async def rename(self, name: str, new_name: str) -> ArtifactFile:
        self._check_name(new_name)
        source, target = self.directory / name, self.directory / new_name
        await in_thread(lambda: source.rename(target))
        self._files[new_name] = replace(self._files.pop(name), name=new_name)
        return self._files[new_name]

    def artifact(self) -> Artifact:
        return Artifact.of(self._files.values())

    def _check_name(self, name: str) -> None:
        if name != MODEL_FILE:
            check_companion_name(name)
        if name in self._files:
            raise InvalidField(
                f"Two files of the upload are named {name!r}: send each file once."
            )
        if len(self._files) > MAX_COMPANIONS:
            raise InvalidField(
                f"An upload holds one graph and at most {MAX_COMPANIONS} companion "
                "files: export the model with its data in one file."
            )

    def _open(self) -> None:
        with full_disk_is_told():
            self._claim = Claim.new(self._root)
            self._claim.directory.mkdir(mode=0o750)

    def _close(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None


class _IncomingFile:
    """A new file; `flush` and `close` block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._hash = hashlib.sha256()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def take(self, chunk: bytes) -> bool:
        """Holds the chunk; true when it is time to flush."""
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        return self._held_bytes >= _HOP_BYTES

    def flush(self) -> None:
        data = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        with full_disk_is_told():
            if self._descriptor is None:
                self._descriptor = os.open(self._path, _CREATE, 0o640)
            write_all(self._descriptor, data)
        self._hash.update(data)
        self.size_bytes += len(data)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
