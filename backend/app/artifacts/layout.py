"""Where things lie under the data folder, and who may move them when."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.artifacts.disk import sync_directory

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Layout:
    """`artifacts/ab/<digest>/` and `staging/<uuid>/`, on one file system."""

    data_dir: Path

    @property
    def staging(self) -> Path:
        return self.data_dir / "staging"

    @property
    def artifacts(self) -> Path:
        return self.data_dir / "artifacts"

    def place(self, digest: str) -> Path:
        return self.artifacts / digest[:2] / digest

    def digests(self) -> list[str]:
        found = self.artifacts.glob("[0-9a-f][0-9a-f]/*")
        return [path.name for path in found if _DIGEST.fullmatch(path.name)]

    @contextlib.contextmanager
    def locked(self, digest: str) -> Iterator[Path]:
        """The place of `digest`, where no other process moves anything meanwhile.

        Blocks, but only as long as another commit or collection of the same
        shelf, which is bounded by hashing one artifact.
        """
        shelf = self._shelf(digest)
        descriptor = os.open(
            shelf, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self.place(digest)
        finally:
            os.close(descriptor)

    def _shelf(self, digest: str) -> Path:
        shelf = self.place(digest).parent
        if not shelf.is_dir():
            shelf.mkdir(parents=True, exist_ok=True)
            sync_directory(self.artifacts)
            sync_directory(self.data_dir)
        return shelf
