"""Lines of NDJSON to typed columns by pyarrow's reader, where it is certain to read
what orjson reads; where it is not, nothing is read here.

It takes more than JSON is (NaN, two objects in a line) and tells less (whether a name
is missing or null, whether a number is whole). So a block is left to orjson that has
a name which the first rows had not, a null for a feature, or a number whose meaning
depends on how it is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.json

from app.datasets.csv_columns import is_number, plain_numbers
from app.datasets.ndjson_lines import Lines
from app.datasets.text_records import is_utf8
from app.engine.tensors import ElementType

# Of a lone surrogate, the readers think differently.
_SURROGATES = (b"\\ud", b"\\uD")


@dataclass(frozen=True, slots=True)
class NDJSONColumns:
    """`table` holds numbers of features as float64, and no nulls there."""

    table: Any

    def column(self, name: str) -> Any:
        return self.table.column(name).combine_chunks()

    def texts(self, name: str) -> Any | None:
        """As a result holds the column of a field that is no feature; None where only
        the objects tell."""
        column = self.column(name)
        if pa.types.is_floating(column.type):
            return None
        return column.cast(pa.string())


def read_columns(
    lines: Lines, names: Sequence[str], elements: Mapping[str, ElementType]
) -> NDJSONColumns | None:
    """`names` are those that an object may have, `elements` the features'."""
    if not elements or not elements.keys() <= set(names):
        return None
    # A list `tags` would fill a feature `tags[0]`.
    if any(name.endswith("]") for name in elements) or not _is_safe(lines):
        return None
    schema = _schema(lines.data, names, elements)
    table = None if schema is None else _by_pyarrow(lines.data, schema)
    if table is None or table.num_rows != len(lines.starts):
        return None
    columns = NDJSONColumns(table)
    is_plain = all(_is_plain(columns.column(n), n in elements) for n in names)
    return columns if is_plain else None


def _is_safe(lines: Lines) -> bool:
    """As no newline can be inside of a string, as many objects as lines, each from a
    brace to a brace, are one in each line. A zero byte ends pyarrow's input."""
    data = lines.data
    if not lines.are_regular() or b"\0" in data:
        return False
    if b"\\" in data and any(mark in data for mark in _SURROGATES):
        return False
    return is_utf8(data)


def _schema(
    data: bytes, names: Sequence[str], elements: Mapping[str, ElementType]
) -> Any | None:
    """Features as the model has them, all else as the first line has it; None where
    that is more than a value."""
    try:
        first = orjson.loads(data[: data.index(b"\n")])
    except orjson.JSONDecodeError:
        return None
    fields = []
    for name in names:
        element = elements.get(name)
        kind = _kind_of(first.get(name)) if element is None else _feature_kind(element)
        if kind is None:
            return None
        fields.append(pa.field(name, kind))
    return pa.schema(fields)


def _feature_kind(element: ElementType) -> Any | None:
    if is_number(element):
        return pa.float64()
    if element.name == "bool":
        return pa.bool_()
    return pa.string() if element.is_string else None


def _kind_of(value: object) -> Any | None:
    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    if value is None or isinstance(value, str):
        return pa.string()
    return kinds.get(type(value))


def _by_pyarrow(data: bytes, schema: Any) -> Any | None:
    try:
        return pyarrow.json.read_json(
            pa.py_buffer(data),
            read_options=pyarrow.json.ReadOptions(
                use_threads=False, block_size=len(data) + 1
            ),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="error"
            ),
        )
    except pa.ArrowInvalid:
        return None


def _is_plain(column: Any, is_feature: bool) -> bool:
    if is_feature and column.null_count:
        return False
    if not pa.types.is_floating(column.type) or column.null_count == len(column):
        return True
    return plain_numbers(column) is not None
