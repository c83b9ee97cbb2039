"""Parquet files by row groups, which are read piece by piece, never as a whole.

Their headers may lie. What a page says of itself is what room is made by, so every
page is looked at before anything is read.
"""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from app.codecs.arrow_columns import BROKEN
from app.codecs.parquet_sizes import Footer, page_sizes, read_footer
from app.datasets.base import Span
from app.datasets.limits import MIB, FileLimits
from app.datasets.tables import SizeSum, batch_bytes, plain_batches, plain_schema
from app.errors import InvalidRequest, PayloadTooLarge
from app.kit.offload import Check

_FOOTER_BYTES: Final = 256 * MIB
_PAGE_BYTES: Final = 128 * MIB
_PAGE_VALUES: Final = 32 * MIB
_PAGES: Final = 20_000_000
_PAGES_PER_CHECK: Final = 100
_MEASURED_ROWS: Final = 65_536
_DENSE_ROWS: Final = 256
_TEXT: Final = "BYTE_ARRAY"
_BY_DIFFERENCE: Final = "DELTA_BYTE_ARRAY"
# A run of equal values takes no room: beyond this many, the file must have a byte
# for each `ratio * 10` of them.
_FREE_VALUES: Final = 1 << 30
_VALUES_PER_BYTE: Final = 2000


@contextmanager
def _broken_is_bad() -> Iterator[None]:
    try:
        yield
    except (*BROKEN, TypeError) as error:
        reason = str(error).partition("\n")[0][:200].rstrip(".")
        raise InvalidRequest(
            f"The file is no valid Parquet file: {reason}; write it again."
        ) from None


def check_parquet(path: Path, limits: FileLimits, check: Check) -> Footer:
    """Raises InvalidRequest where it is broken, PayloadTooLarge where it would take
    too much."""
    with (
        _broken_is_bad(),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body,
    ):
        footer = read_footer(body, _FOOTER_BYTES)
        _check_pages(body, footer, limits, check)
    return footer


def _check_pages(
    body: mmap.mmap, footer: Footer, limits: FileLimits, check: Check
) -> None:
    size = values = 0
    for number, page in enumerate(page_sizes(body, footer, _PAGES)):
        if number % _PAGES_PER_CHECK == 0:
            check()
            # What was looked at may leave memory again: a large file is not held.
            body.madvise(mmap.MADV_DONTNEED)
        size += page.inflated_bytes
        values += page.values
        if page.inflated_bytes > _PAGE_BYTES or page.values > _PAGE_VALUES:
            raise PayloadTooLarge(
                f"A page of the Parquet file has {page.inflated_bytes} bytes and "
                f"{page.values} values; at most {_PAGE_BYTES} and {_PAGE_VALUES} are "
                f"taken: write it with smaller pages."
            )
    most = max(limits.free_bytes, limits.ratio * len(body))
    if size > min(most, limits.input_bytes):
        raise PayloadTooLarge(
            f"The Parquet file unpacks to {size // MIB} MiB, more than the limit of "
            f"{min(most, limits.input_bytes) // MIB} MiB (JOB_MAX_INPUT_MB, and "
            f"{limits.ratio} times its own size)."
        )
    most = max(_FREE_VALUES, _VALUES_PER_BYTE * len(body))
    if max(values, footer.rows) > most:
        raise PayloadTooLarge(
            f"The Parquet file says that it holds {max(values, footer.rows)} values, "
            f"more than one of its size may: {most}."
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A pyarrow ParquetFile of a file that was checked. Text stays a dictionary where
    the file has one: a value is held once."""
    with _broken_is_bad(), pa.memory_map(str(path)) as file:
        schema = pq.read_schema(file)
        text = [field.name for field in schema if _is_text(field.type)]
        file.seek(0)
        yield pq.ParquetFile(file, read_dictionary=text)


def plan_parquet(
    path: Path, chunk_rows: int, limits: FileLimits, check: Check
) -> list[Span]:
    """Row groups, as many together as stay within `chunk_rows`."""
    check_parquet(path, limits, check)
    spans: list[Span] = []
    with opened(path) as file:
        plain_schema(file.schema_arrow)
        _check_texts(file, path.stat().st_size, limits, check)
        start = rows = line = 0
        for at in range(file.num_row_groups):
            more = file.metadata.row_group(at).num_rows
            if rows and rows + more > chunk_rows:
                spans.append(Span(start, at, line + 1, rows))
                start, line, rows = at, line + rows, 0
            rows += more
        if rows:
            spans.append(Span(start, file.num_row_groups, line + 1, rows))
    return spans


def _check_texts(file: Any, file_bytes: int, limits: FileLimits, check: Check) -> None:
    """A text that repeats takes no room in a page, but in all that is made of it."""
    names = [field.name for field in file.schema_arrow if _holds_text(field.type)]
    if not names:
        return
    size = SizeSum("The Parquet file", file_bytes, limits)
    rows = min(read_rows(file, limits), _MEASURED_ROWS)
    for batch in file.iter_batches(rows, columns=names, use_threads=False):
        check()
        size.add(batch_bytes(batch))


def read_rows(file: Any, limits: FileLimits) -> int:
    """So many rows are about as large as what is held together. A text that a page
    holds by its difference from another, or in a list, is made whole at once."""
    meta = file.metadata
    groups = [meta.row_group(at) for at in range(meta.num_row_groups)]
    row_bytes = max(
        (group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0
    )
    rows = max(1, limits.batch_bytes // max(row_bytes, 1))
    return min(rows, _DENSE_ROWS) if _has_dense_texts(file, groups) else rows


def _has_dense_texts(file: Any, groups: Sequence[Any]) -> bool:
    schema = file.schema
    texts = [
        at for at in range(len(schema)) if schema.column(at).physical_type == _TEXT
    ]
    if any("." in schema.column(at).path for at in texts):
        return True
    columns = (group.column(at) for group in groups for at in texts)
    return any(_BY_DIFFERENCE in column.encodings for column in columns)


def parquet_batches(limits: FileLimits) -> Any:
    def batches(
        path: Path, span: Span, rows: int, names: Sequence[str]
    ) -> Iterator[Any]:
        with opened(path) as file:
            groups = range(span.start, span.end)
            found = file.iter_batches(
                min(rows, read_rows(file, limits)),
                row_groups=groups,
                columns=names,
                use_threads=False,
            )
            for batch in found:
                batch.validate(full=True)
                yield from plain_batches(batch, plain_schema(batch.schema), limits)

    return batches


def _holds_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    inner = [kind.field(at).type for at in range(kind.num_fields)]
    return _is_text(kind) or any(map(_holds_text, inner))


def _is_text(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )
