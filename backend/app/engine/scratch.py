"""Empty working folders, each locked by the living process that made it.

The kernel drops a lock with its owner, however it dies, so a folder that can be
locked is nobody's.
"""

import fcntl
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PREFIX = "mlforge-inspect-"


@dataclass(frozen=True, slots=True)
class EmptyFolder:
    path: Path
    descriptor: int

    @classmethod
    def new(cls, root: Path) -> Self:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
            # A sweep elsewhere may take it for a dead one's before it is locked.
            with suppress(FileNotFoundError):
                descriptor = _try_lock(path)
                if descriptor is not None:
                    return cls(path, descriptor)

    def remove(self) -> None:
        try:
            self.path.rmdir()
        finally:
            os.close(self.descriptor)


def sweep(root: Path) -> None:
    """Removes the folders that dead processes left under `root`."""
    for path in root.glob(f"{_PREFIX}*"):
        # Another user's, or gone by now, or not empty and so none of these.
        with suppress(OSError):
            descriptor = _try_lock(path)
            if descriptor is not None:
                EmptyFolder(path, descriptor).remove()


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the folder's lock; None if another process does."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.lstat(), os.fstat(descriptor)):
            return descriptor
    except BlockingIOError:
        pass
    except FileNotFoundError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
