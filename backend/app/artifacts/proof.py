"""Is a committed artifact still what was uploaded?"""

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

from app.artifacts.store import Artifact, ArtifactFile

# What a missing, replaced or unreadable file says. Others, such as too many open
# files, are no word about the artifact.
_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EIO}
_PROOFS_KEPT = 10_000
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def find_damage(directory: Path, artifact: Artifact) -> str | None:
    """The first difference in presence, size or SHA-256. Blocks; follows no links."""
    for file in artifact.files:
        damage = _damage_of(directory, file)
        if damage:
            return damage
    return None


class Proofs:
    """Proves single files, each once for as long as the file system says that it is
    the same one: a download in a thousand ranges hashes its file once."""

    def __init__(self) -> None:
        self._proved: dict[Path, _Proof] = {}

    def find_damage(self, directory: Path, file: ArtifactFile) -> str | None:
        """Like find_damage, of one file. Blocks; safe from several threads."""
        path = directory / file.name
        proof = _proof_of(path, file)
        if proof is not None and self._proved.get(path) == proof:
            return None
        damage = _damage_of(directory, file)
        # The look from before the hashing: a write during it makes the next one stale.
        if damage is None and proof is not None:
            self._remember(path, proof)
        return damage

    def _remember(self, path: Path, proof: "_Proof") -> None:
        while len(self._proved) >= _PROOFS_KEPT:
            self._proved.pop(next(iter(self._proved)), None)
        self._proved[path] = proof


# Wanted hash; the folder's inode, for a link in its place; device, inode and size
# of the file, and when its content and its inode last changed.
_Proof = tuple[str, int, int, int, int, int, int]


def _proof_of(path: Path, file: ArtifactFile) -> _Proof | None:
    try:
        folder, found = path.parent.lstat(), path.lstat()
    except OSError:
        return None  # What is wrong with it, the proof itself will say.
    return (
        file.sha256,
        folder.st_ino,
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _damage_of(directory: Path, file: ArtifactFile) -> str | None:
    try:
        folder = os.open(directory, _OPEN | os.O_DIRECTORY)
        try:
            descriptor = os.open(file.name, _OPEN, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return f"{file.name} is no regular file"
            if found.st_size != file.size_bytes:
                return f"{file.name} has {found.st_size} bytes, not {file.size_bytes}"
            if _sha256(stream) != file.sha256:
                return f"{file.name} does not match its SHA-256"
    except OSError as error:
        if error.errno not in _DAMAGE:
            raise
        return f"{file.name}: {os.strerror(error.errno)}"
    return None


def _sha256(stream: BufferedReader) -> str:
    return hashlib.file_digest(stream, "sha256").hexdigest()
