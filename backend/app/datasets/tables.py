"""Record batches of any file as batches that can be written to every format: plain
types, and of bounded size once each value stands for itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa

from app.codecs.arrow_columns import array_bytes, is_list
from app.datasets.limits import MIB, FileLimits
from app.errors import InvalidRequest, PayloadTooLarge

_VIEWS: Final = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
_MANY_ROWS: Final = 1 << 62
_PLAIN: Final = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal128,
    pa.types.is_decimal256,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_null,
)


def plain_field(field: Any) -> Any:
    """Raises InvalidRequest for a type that not every format has."""
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kind = _VIEWS.get(kind, kind)
    if not _is_plain(kind):
        raise InvalidRequest(
            f'column "{field.name[:100]}": values of the type {str(field.type)[:100]} '
            f"can't be repeated in a result; cast it, or leave it out of the file."
        )
    return pa.field(field.name, kind)


def plain_schema(schema: Any) -> Any:
    return pa.schema([plain_field(field) for field in schema])


def plain_batches(batch: Any, schema: Any, limits: FileLimits) -> Iterator[Any]:
    """The batch in parts of at most `limits.batch_bytes`. Raises InvalidRequest for a
    row that takes more than a span may. `schema` is `plain_schema` of the batch's."""
    for part in cut(batch, min(limits.batch_bytes, limits.span_bytes)):
        if part.num_rows == 1 and batch_bytes(part) > limits.span_bytes:
            raise InvalidRequest(
                f"A row takes more than {limits.span_bytes >> 20} MiB, the limit."
            )
        arrays = [
            _plain(array, field)
            for array, field in zip(part.columns, schema, strict=True)
        ]
        yield pa.record_batch(arrays, schema=schema)


def cut(batch: Any, most_bytes: int, most_rows: int = _MANY_ROWS) -> Iterator[Any]:
    """The batch in parts that take no more, or are a single row."""
    pending = [batch]
    while pending:
        part = pending.pop()
        is_small = part.num_rows <= most_rows and batch_bytes(part) <= most_bytes
        if is_small or part.num_rows == 1:
            yield part
            continue
        middle = part.num_rows // 2
        pending += [part.slice(middle), part.slice(0, middle)]


@contextmanager
def given_back() -> Iterator[None]:
    """What Arrow keeps for its next arrays goes back to the machine behind."""
    try:
        yield
    finally:
        pa.default_memory_pool().release_unused()


def batch_bytes(batch: Any) -> int:
    """What its values take once each stands for itself."""
    return sum(map(array_bytes, batch.columns))


class SizeSum:
    """What a file's values take together, against what it may unpack to."""

    def __init__(self, what: str, file_bytes: int, limits: FileLimits) -> None:
        self._what = what
        self._ratio = limits.ratio
        by_ratio = max(limits.free_bytes, limits.ratio * file_bytes)
        self._most = min(by_ratio, limits.input_bytes)
        self._size = 0

    def add(self, size: int) -> None:
        """Raises PayloadTooLarge at the limit."""
        self._size += size
        if self._size > self._most:
            raise PayloadTooLarge(
                f"{self._what} unpacks to more than {self._most // MIB} MiB, the limit "
                f"(JOB_MAX_INPUT_MB, and {self._ratio} times its own size); send it in "
                f"parts, or as CSV or NDJSON."
            )


def _plain(array: Any, field: Any) -> Any:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array if array.type == field.type else array.cast(field.type)


def _is_plain(kind: Any) -> bool:
    if is_list(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_struct(kind):
        return bool(kind.num_fields) and all(_is_plain(inner.type) for inner in kind)
    return any(is_known(kind) for is_known in _PLAIN)
