"""Arrow tables, however they came, to tensors."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.codecs.base import Asked, Target
from app.codecs.coercion import Column, as_text, in_column
from app.codecs.columns import Sheet, check_names, table_of
from app.codecs.features import Table, build_table
from app.codecs.file_options import FileOptions, too_large
from app.engine.tensors import ElementType
from app.engine.values import Array
from app.errors import InvalidInput

# What pyarrow raises on bytes that are not what they claim to be.
BROKEN: Final = (
    pa.ArrowException,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
)
_CELL_BYTES: Final = 8


def asked_of(table: Any, target: Target, options: FileOptions) -> Asked:
    """`table` is a pyarrow.Table that was validated in full."""
    check_types(table.schema)
    _check_size(table, options.limit_bytes)
    has_lists = any(is_list(field.type) for field in table.schema)
    decoded = _by_rows(table, target) if has_lists else _by_columns(table, target)
    return options.asked(decoded, table.num_rows, target)


def check_types(schema: Any) -> None:
    for field in schema:
        kind = field.type
        while is_list(kind):
            kind = kind.value_type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not any(is_known(kind) for is_known in _KNOWN):
            raise InvalidInput(
                f'column "{field.name[:100]}": values of the type {str(field.type)[:100]} are not '
                f"taken; cast it to numbers, booleans or strings, or leave it out."
            )


_KNOWN: Final = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_null,
)


def _by_columns(table: Any, target: Target) -> Table:
    def read(name: str, element: ElementType) -> Column:
        return column_values(table.column(name))

    sheet = Sheet(tuple(table.column_names), table.num_rows, read, _place, "The schema")
    return table_of(sheet, target)


def _by_rows(table: Any, target: Target) -> Table:
    """Lists fill features by their place, as they do in JSON."""
    names = tuple(table.column_names)
    check_names(Sheet(names, table.num_rows, _unread, _place, "The schema"), {})
    columns = [column_values(table.column(name)) for name in names]
    lists = [_listed(column) for column in columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]
    return build_table(rows, target, lambda at: f"row {at + 1}", in_column)


def _unread(name: str, element: ElementType) -> Column:
    raise KeyError(name)


def _place(at: int, name: str) -> str:
    return in_column(f"row {at + 1}", name)


def column_values(column: Any) -> Column:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _dictionary(column)
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [
            value if value is None else as_text(value) for value in column.to_pylist()
        ]
    is_numeric = pa.types.is_boolean(kind) or pa.types.is_primitive(column.type)
    if is_numeric and not column.null_count:
        numbers: Array = column.to_numpy()
        return numbers
    values: list[Any] = column.to_pylist()
    return values


def _listed(column: Column) -> Sequence[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _dictionary(column: Any) -> list[Any]:
    """Each value once, however many rows share it."""
    values: list[Any] = []
    for chunk in column.chunks:
        words = _listed(column_values(pa.chunked_array([chunk.dictionary])))
        at = chunk.indices.to_pylist()
        values += [None if index is None else words[index] for index in at]
    return values


def _check_size(table: Any, limit_bytes: int) -> None:
    size = sum(map(_logical_bytes, table.columns))
    if size > limit_bytes:
        raise too_large("The table", limit_bytes)


def _logical_bytes(column: Any) -> int:
    return sum(map(array_bytes, column.chunks))


def array_bytes(array: Any) -> int:
    """What its values take once each stands for itself."""
    kind = array.type
    if pa.types.is_primitive(kind):
        return len(array) * _width(kind)
    if is_list(kind):
        return array_bytes(array.flatten()) + len(array)
    if pa.types.is_dictionary(kind):
        lengths = _lengths(array.dictionary)
        if lengths is None:
            return len(array) * _CELL_BYTES
        taken = pc.sum(pc.take(lengths, array.indices)).as_py() or 0
        return int(taken) + len(array)
    if pa.types.is_struct(kind):
        return sum(map(array_bytes, array.flatten())) + len(array)
    lengths = _lengths(array)
    if lengths is not None:
        return int(pc.sum(lengths).as_py() or 0) + len(array)
    return len(array) * _width(kind)


def _width(kind: Any) -> int:
    try:
        return max(int(kind.bit_width) // 8, 1)
    except ValueError:
        return _CELL_BYTES


def _lengths(array: Any) -> Any:
    """Of each string, in bytes; None if it holds none."""
    kind = array.type
    if pa.types.is_string_view(kind):
        views = array.buffers()[1]
        if views is None:
            return pa.array([0] * len(array), pa.int64())
        words = np.frombuffer(views, dtype=np.int32)
        window = words[::_VIEW_WORDS][array.offset : array.offset + len(array)]
        return pa.array(window.astype(np.int64), mask=~_valid(array))
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.cast(pc.binary_length(array), pa.int64())
    return None


# A view is 16 bytes, its length the first four.
_VIEW_WORDS: Final = 4


def _valid(array: Any) -> Array:
    valid: Array = pc.is_valid(array).to_numpy(zero_copy_only=False)
    return valid


def is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )
