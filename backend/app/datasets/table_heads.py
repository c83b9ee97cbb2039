"""The head of a Parquet or an Arrow file: its schema, and its first rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from app.codecs.arrow_columns import check_types
from app.codecs.base import Target
from app.codecs.columns import SHOWN_NAMES, Sheet, check_names
from app.datasets import arrow_files, parquet_files
from app.datasets.base import Kind, Span
from app.datasets.blocks import Block, Reader
from app.datasets.kinds import check_format
from app.datasets.limits import FileLimits
from app.datasets.table_blocks import TableReader, feature_columns, missing_columns
from app.datasets.tables import plain_batches, plain_schema
from app.datasets.unpacking import unpack, unpacked
from app.enums import Compression, FileFormat
from app.errors import FieldError, InvalidRequest, MissingFeatures
from app.kit.offload import never_stopped

_FIRST_ROWS = 2000


@dataclass(frozen=True, slots=True)
class TableHead:
    """`batch` holds the first rows."""

    fields: dict[str, Any]
    rows: int
    batch: Any

    def block(self, reader: Reader, rows: int) -> Block | None:
        assert isinstance(reader, TableReader)
        here = replace(reader, batches=self._batches)
        span = Span(0, 1, 1, self.batch.num_rows)
        return next(iter(here.blocks(Path(), span, rows)), None)

    def _batches(
        self, _: Path, span: Span, rows: int, names: Sequence[str]
    ) -> Iterator[Any]:
        yield self.batch.select(names).slice(0, min(rows, span.rows))


def look_at_table(
    path: Path, kind: Kind, target: Target, limits: FileLimits
) -> TableHead:
    """Raises MissingFeatures with all columns that the file lacks."""
    with _plain(path, kind, limits) as plain:
        look = _parquet if kind.format is FileFormat.PARQUET else _arrow
        rows, batch = look(plain, target, limits)
    return TableHead({field.name: field for field in batch.schema}, rows, batch)


@contextmanager
def _plain(path: Path, kind: Kind, limits: FileLimits) -> Iterator[Path]:
    """A packed file is unpacked beside itself: its end is needed."""
    with unpacked(path, kind.compression, limits) as stream:
        check_format(stream.read(16), kind.format)
    if kind.compression is Compression.NONE:
        yield path
        return
    plain = path.with_name(f"{path.name}.plain")
    try:
        _unpack(path, plain, kind, limits)
        yield plain
    finally:
        plain.unlink(missing_ok=True)


def _unpack(path: Path, plain: Path, kind: Kind, limits: FileLimits) -> None:
    """Whoever sends it waits, and the disk holds it, so there is a bound."""
    most = limits.packed_table_bytes
    if limits.input_bytes <= most:
        unpack(path, plain, kind.compression, limits, never_stopped)
        return
    hint = f"for {kind.format} that is packed as a whole; send it as it is"
    bounded = replace(limits, input_bytes=most)
    unpack(path, plain, kind.compression, bounded, never_stopped, hint)


def _parquet(path: Path, target: Target, limits: FileLimits) -> tuple[int, Any]:
    parquet_files.check_parquet(path, limits, never_stopped)
    with parquet_files.opened(path) as file:
        schema = _checked(file.schema_arrow, target, limits)
        rows = min(_FIRST_ROWS, parquet_files.read_rows(file, limits))
        found = file.iter_batches(rows, use_threads=False)
        return file.metadata.num_rows, _first(found, schema, limits)


def _arrow(path: Path, target: Target, limits: FileLimits) -> tuple[int, Any]:
    rows = arrow_files.count_rows(path, never_stopped)
    with arrow_files.opened(path) as reader:
        schema = _checked(reader.schema, target, limits)
        return rows, _first(reader, schema, limits)


def _first(batches: Any, schema: Any, limits: FileLimits) -> Any:
    for batch in batches:
        if batch.num_rows:
            first = batch.slice(0, _FIRST_ROWS)
            first.validate(full=True)
            return next(plain_batches(first, schema, limits))
    raise InvalidRequest("The file holds no rows; send at least one.")


def _checked(schema: Any, target: Target, limits: FileLimits) -> Any:
    """The schema in plain types."""
    names = tuple(schema.names)
    if len(names) > limits.columns:
        raise InvalidRequest(
            f"The file has {len(names)} columns; at most {limits.columns} are taken."
        )
    check_names(Sheet(names, 1, _unread, _nowhere, "The schema"), {})
    missing = missing_columns(schema, target)
    if missing:
        shown = ", ".join(f'"{name[:100]}"' for name in names[:SHOWN_NAMES])
        more = ", …" if len(names) > SHOWN_NAMES else ""
        raise MissingFeatures(
            f"The schema lacks features that this model needs: {', '.join(missing)}; "
            f"its columns are {shown or 'none'}{more}.",
            errors=[FieldError(name, "this feature is missing") for name in missing],
        )
    known = feature_columns(target)
    check_types(pa.schema([field for field in schema if field.name in known]))
    return plain_schema(schema)


def _unread(name: str, _: Any) -> Any:
    raise KeyError(name)


def _nowhere(_at: int, name: str) -> str:
    return name
