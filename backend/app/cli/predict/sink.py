"""Where a result goes: into a file that appears whole, or to the standard output."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.cli.predict.display import Display
from app.cli.predict.job import Estimate
from app.cli.predict.outcome import Exit, Stopped
from app.cli.predict.wanted import STANDARD


class Sink:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)

    def restart(self) -> None:
        """Forgets what was written. Raises Stopped where it is gone for good."""
        if not self.size_bytes:
            return
        if not self._file.seekable():
            raise Stopped(
                Exit.FAILED, "The download broke off, and can't go on: give -o FILE."
            )
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size_bytes = 0


@contextmanager
def opened(out: str) -> Iterator[Sink]:
    """Raises Stopped where it can't be written."""
    try:
        if out == STANDARD:
            yield Sink(sys.stdout.buffer)
            sys.stdout.buffer.flush()
        elif Path(out).exists() and not Path(out).is_file():
            with Path(out).open("wb") as device:
                yield Sink(device)
        else:
            # What a link names is replaced, not the link.
            with _replacing(Path(out).resolve()) as file:
                yield Sink(file)
    except BrokenPipeError:
        # Nobody reads on, as `head` does.
        sys.stdout = None
        raise Stopped(Exit.FAILED, "Nobody reads the result any more.") from None
    except OSError as error:
        raise Stopped(
            Exit.FAILED, f"{out} can't be written: {error.strerror}."
        ) from None


def tell_estimate(told: Estimate, display: Display) -> None:
    display.estimate(told)
    with opened(STANDARD) as sink:
        sink.write(told.sample)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end, if all went well."""
    descriptor, name = tempfile.mkstemp(prefix=".mlforge-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            # On the disk before its name says that it is whole.
            file.flush()
            os.fsync(file.fileno())
        # mkstemp keeps others out; a result is a file like any other.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
