"""Columns as the texts of CSV cells and of JSON values, row by row."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from app.codecs.coercion import as_text
from app.codecs.csv_rows import quoted
from app.codecs.json_values import OPTIONS, tensor_json
from app.datasets.result_schema import Form, OutputColumn

_NEEDS_QUOTES: Final = r'[,"\r\n]|^\s|\s$|^$'


def csv_cells(array: Any) -> list[str]:
    """A null is nothing, the empty string is quoted."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return csv_cells(array.cast(kind.value_type))
    if not len(array):
        return []
    if _is_number(kind):
        return _blanked(_number_texts(array).replace('"', "").split(","), array, "")
    if _is_text(kind):
        return _text_cells(array)
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return _text_cells(array.cast(pa.string()))
    return _blanked([quoted(_plain(text)) for text in json_texts(array)], array, "")


def json_texts(array: Any) -> list[str]:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return json_texts(array.cast(kind.value_type))
    if not len(array):
        return []
    if _is_number(kind):
        return _blanked(_number_texts(array).split(","), array, "null")
    if _is_list(kind):
        return _list_texts(array)
    if pa.types.is_struct(kind):
        return _struct_texts(array)
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        array = array.cast(pa.string())
    return [_json(_readable(value)) for value in array.to_pylist()]


def output_csv_cells(array: Any, column: OutputColumn) -> list[list[str]]:
    """One list for each of the column's `csv_names`."""
    if column.form is Form.MAP:
        return [csv_cells(inner) for inner in array.flatten()]
    if not column.shape:
        return [csv_cells(array)]
    flat, width = array, column.width()
    for _ in column.shape:
        flat = flat.flatten()
    cells = csv_cells(flat)
    spread = [cells[at::width] for at in range(width)]
    if not array.null_count:
        return spread
    rows = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False)).tolist()
    return [_scattered(one, rows, len(array)) for one in spread]


def output_json_texts(array: Any, column: OutputColumn) -> list[str]:
    if column.form is Form.JSON:
        return [text or "null" for text in array.to_pylist()]
    return json_texts(array)


def _scattered(cells: Sequence[str], rows: Sequence[int], count: int) -> list[str]:
    out = [""] * count
    for row, cell in zip(rows, cells, strict=True):
        out[row] = cell
    return out


def _number_texts(array: Any) -> str:
    """As JSON writes them, commas between; anything where there is a null."""
    if array.null_count:
        array = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    values = array.to_numpy(zero_copy_only=False)
    text: str = orjson.dumps(tensor_json(values), option=OPTIONS).decode()
    return text[1:-1]


def _blanked(texts: list[str], array: Any, blank: str) -> list[str]:
    if array.null_count:
        nulls = array.is_null().to_numpy(zero_copy_only=False)
        for at in np.flatnonzero(nulls).tolist():
            texts[at] = blank
    return texts


def _text_cells(array: Any) -> list[str]:
    if not pc.any(pc.match_substring_regex(array, _NEEDS_QUOTES)).as_py():
        plain: list[str] = array.fill_null("").to_pylist()
        return plain
    return ["" if text is None else quoted(text) for text in array.to_pylist()]


def _list_texts(array: Any) -> list[str]:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    bounds = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    items = json_texts(array.flatten())
    texts = [f"[{','.join(items[start:end])}]" for start, end in pairwise(bounds)]
    return _blanked(texts, array, "null")


def _struct_texts(array: Any) -> list[str]:
    """A label that has no value in a row is left out there."""
    names = [f"{_json(field.name)}:" for field in array.type]
    columns = [json_texts(inner) for inner in array.flatten()]
    texts = [
        "{"
        + ",".join(
            [n + text for n, text in zip(names, row, strict=True) if text != "null"]
        )
        + "}"
        for row in zip(*columns, strict=True)
    ]
    return _blanked(texts, array, "null")


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
