"""Places in the staging folder, each locked by its living owner.

`staging/<uuid>` belongs to whoever holds a flock on `staging/<uuid>.lock`. The
kernel drops the lock when the owner dies, however it dies, so whoever gets it
may clean up. The lock comes before the folder and goes after it.
"""

import contextlib
import fcntl
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from app.artifacts.disk import remove_tree

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Claim:
    directory: Path
    descriptor: int

    @classmethod
    def new(cls, root: Path) -> "Claim":
        """Locks a fresh place. Its folder is not made yet."""
        root.mkdir(parents=True, exist_ok=True)
        while True:
            directory = root / str(uuid.uuid4())
            descriptor = _try_lock(_lock_of(directory), os.O_CREAT | os.O_EXCL)
            if descriptor is not None:
                return cls(directory, descriptor)

    def release(self) -> None:
        """Removes the folder if it is still there, and the lock."""
        try:
            remove_tree(self.directory)
            _lock_of(self.directory).unlink(missing_ok=True)
        finally:
            os.close(self.descriptor)


def sweep(root: Path) -> int:
    """Removes the places whose owners are dead; gives how many."""
    names = os.listdir(root) if root.is_dir() else []
    places = {name.removesuffix(_LOCK) for name in names}
    return sum(_remove_if_dead(root / place) for place in places)


def _remove_if_dead(directory: Path) -> bool:
    try:
        descriptor = _try_lock(_lock_of(directory), 0)
    except FileNotFoundError:
        # A living owner's lock outlives its folder, so this one has no owner.
        gone = not directory.exists()
        remove_tree(directory)
        return not gone
    if descriptor is None:
        return False
    Claim(directory, descriptor).release()
    return True


def _lock_of(directory: Path) -> Path:
    return directory.with_name(directory.name + _LOCK)


def _try_lock(path: Path, flags: int) -> int | None:
    """A descriptor that holds the lock, or None when someone else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_file_at(path, descriptor):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _is_file_at(path: Path, descriptor: int) -> bool:
    """A sweeper may have removed the file between its opening and its lock."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    return False
