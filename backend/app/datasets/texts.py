"""Columns as the texts of CSV cells and of JSON values: arrays of strings without a
null, so that rows are put together without an object for each value."""

from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from app.codecs.coercion import as_text
from app.codecs.csv_rows import quoted
from app.codecs.json_values import OPTIONS, tensor_json
from app.datasets.result_schema import Form, OutputColumn
from app.engine.values import Array

_NEEDS_QUOTES: Final = r'[,"\r\n]|^\s|\s$|^$'
_COMMA: Final = 44


def joined(*parts: Any, between: str = "") -> Any:
    """Row by row, of arrays and of strings that stand in every row."""
    typed = [constant(part) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*typed, constant(between))


def constant(text: str) -> Any:
    """With its type: to guess one, pyarrow looks for pandas each time, which takes ten
    times as long as all else here where there is none."""
    return pa.scalar(text, pa.string())


def csv_cells(array: Any) -> Any:
    """A null is nothing, the empty string is quoted."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return csv_cells(array.cast(kind.value_type))
    if _is_number(kind):
        return _blanked(_number_texts(array, b'"'), array, "")
    if _is_text(kind):
        return _text_cells(array)
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return _text_cells(array.cast(pa.string()))
    cells = [quoted(_plain(text)) for text in json_texts(array).to_pylist()]
    return _blanked(pa.array(cells, pa.string()), array, "")


def json_texts(array: Any) -> Any:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return json_texts(array.cast(kind.value_type))
    if _is_number(kind):
        return _blanked(_number_texts(array, b""), array, "null")
    if _is_list(kind):
        return _list_texts(array)
    if pa.types.is_struct(kind):
        return _struct_texts(array)
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        array = array.cast(pa.string())
    if not _is_text(array.type):
        texts = [_json(_readable(value)) for value in array.to_pylist()]
        return pa.array(texts, pa.string())
    told = array.dictionary_encode()
    texts = pa.array(map(_json, told.dictionary.to_pylist()), pa.string())
    return texts.take(told.indices).fill_null("null")


def output_csv_cells(array: Any, column: OutputColumn) -> list[Any]:
    """Together, the cells of the column's `csv_names`."""
    if column.form is Form.MAP:
        return [csv_cells(inner) for inner in array.flatten()]
    if not column.shape:
        return [csv_cells(array)]
    width = column.width()
    if not width:
        return []
    flat = array
    for _ in column.shape:
        flat = flat.flatten()
    counts = array.is_valid().to_numpy(zero_copy_only=False) * width
    cells = pc.binary_join(_lists(counts, csv_cells(flat)), ",")
    return [_blanked(cells, array, "," * (width - 1))]


def output_json_texts(array: Any, column: OutputColumn) -> Any:
    return array.fill_null("null") if column.form is Form.JSON else json_texts(array)


def _lists(counts: Array, items: Any) -> Any:
    """So many of the items for each row, in order."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items)


def _number_texts(array: Any, without: bytes) -> Any:
    """As JSON writes them, but for the bytes of `without`; anything where there is a
    null."""
    if array.null_count:
        array = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    values = array.to_numpy(zero_copy_only=False)
    text = orjson.dumps(tensor_json(values), option=OPTIONS)[1:-1]
    text = text.translate(None, without)
    commas = np.flatnonzero(np.frombuffer(text, np.uint8) == _COMMA)
    ends = np.append(commas, len(text))[: len(array)]
    offsets = np.concatenate([[0], ends - np.arange(len(ends))]).astype(np.int32)
    return strings(offsets, text.translate(None, b","))


def strings(offsets: Array, data: bytes) -> Any:
    """Those that stand between the offsets (int32) in UTF-8."""
    buffers = (pa.py_buffer(offsets), pa.py_buffer(data))
    return pa.StringArray.from_buffers(len(offsets) - 1, *buffers)


def _blanked(texts: Any, array: Any, blank: str) -> Any:
    return (
        pc.if_else(array.is_valid(), texts, constant(blank))
        if array.null_count
        else texts
    )


def _text_cells(array: Any) -> Any:
    array = array.cast(pa.string())
    if not pc.any(pc.match_substring_regex(array, _NEEDS_QUOTES)).as_py():
        return array.fill_null("")
    told = array.dictionary_encode()
    cells = pa.array(map(quoted, told.dictionary.to_pylist()), pa.string())
    return cells.take(told.indices).fill_null("")


def _list_texts(array: Any) -> Any:
    counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    items = pc.binary_join(_lists(counts, json_texts(array.flatten())), ",")
    return _blanked(joined("[", items, "]"), array, "null")


def _struct_texts(array: Any) -> Any:
    """A label that has no value in a row is left out there."""
    pairs = []
    for field, inner in zip(array.type, array.flatten(), strict=True):
        texts = json_texts(inner)
        pair = joined(f"{_json(field.name)}:", texts)
        nothing = pa.scalar(None, pa.string())
        pairs.append(pc.if_else(pc.equal(texts, constant("null")), nothing, pair))
    inside = pc.binary_join_element_wise(*pairs, ",", null_handling="skip")
    return _blanked(joined("{", inside, "}"), array, "null")


def _is_number(kind: Any) -> bool:
    is_plain = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(is_plain or pa.types.is_boolean(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return as_text(value)
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _readable(item) for key, item in value.items()}
    return value


def _plain(text: str) -> str:
    """A JSON string without its quotes."""
    value = orjson.loads(text)
    return value if isinstance(value, str) else text


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
