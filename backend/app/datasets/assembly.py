"""Parts, in order, to the files of a result."""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from app.datasets.base import Recipe, ResultFile
from app.datasets.kinds import MEDIA_TYPES
from app.datasets.limits import MIB
from app.datasets.parts import ERRORS, file_of, sync_folder
from app.datasets.result_schema import ResultSchema
from app.datasets.result_text import TEXTS, header, text_pieces
from app.datasets.tables import batch_bytes, given_back
from app.enums import FileFormat
from app.kit.offload import Check

_GROUP_ROWS: Final = 131_072
_GROUP_BYTES: Final = 32 * MIB
# Of an Arrow stream: what stands before a message, with its length, and the end.
_PREFIX: Final = struct.Struct("<II")
_END: Final = _PREFIX.pack(0xFFFFFFFF, 0)


class Sink(Protocol):
    """What pyarrow needs of a file that it only goes forward in."""

    closed: bool

    def write(self, data: Any) -> int: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


def assemble(
    check: Check, parts: Sequence[Path], recipe: Recipe, folder: Path, stem: str
) -> list[ResultFile]:
    """The result, and its errors where rows failed; durable."""
    to = recipe.result_format
    result = _checked(_result(parts, recipe), check)
    files = [_write(folder / f"{stem}.{to}", MEDIA_TYPES[to], result)]
    errors = [file_of(part, ERRORS) for part in parts]
    errors = [path for path in errors if path.exists()]
    if errors:
        path = folder / f"{stem}.{ERRORS}"
        files.append(
            _write(
                path, MEDIA_TYPES[FileFormat.NDJSON], _checked(_contents(errors), check)
            )
        )
    sync_folder(folder)
    return files


def convert(parts: Sequence[Path], recipe: Recipe, to: FileFormat) -> Iterator[bytes]:
    """The same rows in any format, piece by piece."""
    if to in TEXTS and to is recipe.result_format:
        yield from _result(parts, recipe)
        return
    schema = ResultSchema.of(recipe)
    with given_back():
        if to in TEXTS:
            yield from _text(parts, schema, to)
        elif to is FileFormat.ARROW:
            yield from _arrow(parts, schema)
        else:
            yield from _parquet(parts, schema)


def _text(
    parts: Sequence[Path], schema: ResultSchema, to: FileFormat
) -> Iterator[bytes]:
    yield header(schema, to).encode()
    for batch in _batches(parts):
        yield from text_pieces(batch, schema, to, None)


def _result(parts: Sequence[Path], recipe: Recipe) -> Iterator[bytes]:
    to = recipe.result_format
    if to not in TEXTS:
        yield from convert(parts, recipe, to)
        return
    yield header(ResultSchema.of(recipe), to).encode()
    yield from _contents([file_of(part, to) for part in parts])


def _checked(data: Iterator[bytes], check: Check) -> Iterator[bytes]:
    for some in data:
        check()
        yield some


def _contents(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while data := file.read(MIB):
                yield data


def _write(path: Path, media_type: str, data: Iterator[bytes]) -> ResultFile:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for some in data:
            digest.update(some)
            size += file.write(some)
        file.flush()
        os.fsync(file.fileno())
    return ResultFile(path.name, media_type, size, digest.hexdigest())


def _batches(parts: Sequence[Path]) -> Iterator[Any]:
    for part in parts:
        with pa.OSFile(str(file_of(part, FileFormat.ARROW))) as file:
            yield from pa.ipc.open_stream(file)


class _Outbox:
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self.closed = False
        self._waiting: list[bytes] = []

    def write(self, data: Any) -> int:
        self._waiting.append(bytes(data))
        return len(self._waiting[-1])

    def flush(self) -> None:
        return

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        data, self._waiting = b"".join(self._waiting), []
        return data


def _arrow(parts: Sequence[Path], schema: ResultSchema) -> Iterator[bytes]:
    """The parts are streams of one schema, so their batches, byte by byte, are one."""
    yield schema.message()
    for part in parts:
        path = file_of(part, FileFormat.ARROW)
        left = path.stat().st_size - len(_END)
        with path.open("rb") as file:
            _, size = _PREFIX.unpack(file.read(_PREFIX.size))
            left -= file.seek(_PREFIX.size + size)
            while data := file.read(min(MIB, left)):
                left -= len(data)
                yield data
    yield _END


def _parquet(parts: Sequence[Path], schema: ResultSchema) -> Iterator[bytes]:
    outbox = _Outbox()
    file = pa.PythonFile(outbox, mode="w")
    with _parquet_writer(file, schema.arrow) as writer:
        for table in _groups(parts, schema):
            writer.write_table(table)
            yield outbox.taken()
    yield outbox.taken()


def _parquet_writer(file: Any, schema: Any) -> Any:
    """Floats hardly repeat: looking for those that do is half of all the work."""
    repeating = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return pq.ParquetWriter(file, schema, use_dictionary=repeating)


def _groups(parts: Sequence[Path], schema: ResultSchema) -> Iterator[Any]:
    """Tables of enough rows for a row group."""
    waiting: list[Any] = []
    rows = size = 0
    for batch in _batches(parts):
        waiting.append(batch)
        rows += batch.num_rows
        size += batch_bytes(batch)
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting, schema.arrow)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema.arrow)
