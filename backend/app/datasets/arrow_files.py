"""Arrow files and streams, cut anew into batches that any worker can go to.

A file is a stream with a word before it and a directory behind: read as a stream, the
directory need not be believed.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from app.codecs.arrow_columns import BROKEN
from app.codecs.arrow_sizes import message_bytes, message_rows
from app.datasets.base import Span
from app.datasets.kinds import ARROW_FILE
from app.datasets.limits import MIB, FileLimits
from app.datasets.tables import SizeSum, batch_bytes, plain_batches, plain_schema
from app.errors import InvalidRequest, PayloadTooLarge
from app.kit.offload import Check

# The word is padded.
_FILE_START: Final = 8
# Of a batch whose buffers are packed: all of it is unpacked at once.
_BATCH_BYTES: Final = 384 * MIB


@contextmanager
def _broken_is_bad() -> Iterator[None]:
    try:
        yield
    except (*BROKEN, struct.error) as error:
        reason = str(error).partition("\n")[0][:200].rstrip(".")
        raise InvalidRequest(
            f"The file is no valid Arrow IPC file or stream: {reason}; write it again."
        ) from None


def count_rows(path: Path, check: Check) -> int:
    """Raises PayloadTooLarge where a batch would unpack to too much."""
    rows = 0
    with _stream(path) as (buffer, forget):
        for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(buffer)):
            check()
            forget()
            size = message_bytes(message)
            if size > _BATCH_BYTES:
                raise PayloadTooLarge(
                    f"A record batch unpacks to {size // MIB} MiB; at most "
                    f"{_BATCH_BYTES // MIB} are taken: write smaller batches."
                )
            rows += max(message_rows(message), 0)
    return rows


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A reader of a file whose messages were checked."""
    with _stream(path) as (buffer, _):
        yield pa.ipc.open_stream(buffer)


@contextmanager
def _stream(path: Path) -> Iterator[tuple[Any, Callable[[], None]]]:
    """Its bytes, and what lets those that were looked at leave memory again: a large
    batch is no more in memory as a whole than a large file is."""
    with path.open("rb") as file:
        body = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = _FILE_START if body[: len(ARROW_FILE)] == ARROW_FILE else 0

    def forget() -> None:
        body.madvise(mmap.MADV_DONTNEED)

    with _broken_is_bad():
        yield pa.py_buffer(body).slice(start), forget


def recut_arrow(
    source: Path, plain: Path, chunk_rows: int, limits: FileLimits, check: Check
) -> list[Span]:
    """Writes `plain`, durable: a file of batches of at most `chunk_rows` rows, every
    one of them validated."""
    count_rows(source, check)
    partial = plain.with_name(f"{plain.name}.partial")
    try:
        with _stream(source) as (buffer, forget), partial.open("wb") as file:
            reader = pa.ipc.open_stream(buffer)
            schema = plain_schema(reader.schema)
            cutter = _Cutter(chunk_rows)
            size = SizeSum("The Arrow file", source.stat().st_size, limits)
            with pa.ipc.new_file(file, schema) as writer:
                for batch in _cut(reader, schema, chunk_rows, limits, check):
                    size.add(batch_bytes(batch))
                    writer.write_batch(batch)
                    cutter.take(batch.num_rows)
                    forget()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(plain)
    finally:
        partial.unlink(missing_ok=True)
    return cutter.finish()


def _cut(
    reader: Any, schema: Any, rows: int, limits: FileLimits, check: Check
) -> Iterator[Any]:
    for batch in reader:
        batch.validate(full=True)
        for at in range(0, batch.num_rows, rows):
            for part in plain_batches(batch.slice(at, rows), schema, limits):
                check()
                yield part


class _Cutter:
    """Batches, as many together as stay within `chunk_rows`."""

    def __init__(self, chunk_rows: int) -> None:
        self._chunk_rows = chunk_rows
        self._spans: list[Span] = []
        self._start = self._batches = self._rows = self._line = 0

    def take(self, rows: int) -> None:
        if self._rows and self._rows + rows > self._chunk_rows:
            self._close()
        self._rows += rows
        self._batches += 1

    def finish(self) -> list[Span]:
        if self._rows:
            self._close()
        return self._spans

    def _close(self) -> None:
        span = Span(self._start, self._batches, self._line + 1, self._rows)
        self._spans.append(span)
        self._start, self._line = self._batches, self._line + self._rows
        self._rows = 0


def arrow_batches(
    path: Path, span: Span, rows: int, names: Sequence[str]
) -> Iterator[Any]:
    """Of a file that `recut_arrow` wrote."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        for at in range(span.start, span.end):
            batch = reader.get_batch(at).select(names)
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)
