"""Outputs of a run to columns of the result, as its schema fixed them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from app.codecs.arrow_answers import arrow_element, held_as
from app.codecs.json_values import OPTIONS, jsonable
from app.codecs.row_answers import RowOutput, labels_of
from app.datasets.result_schema import Form, OutputColumn
from app.engine.signature import describe_value
from app.engine.tensors import ElementType, element_of
from app.engine.values import Array

_NO_TEXT = "holds bytes that are no UTF-8"


class Fitted(NamedTuple):
    """A column with a value for every row; null in the rows that `misfits` names."""

    array: Any
    misfits: dict[int, str]


def column_of(output: RowOutput) -> OutputColumn:
    """What this sample of an output makes of its column."""
    if isinstance(output.value, np.ndarray):
        name = element_of(output.value).name
        return OutputColumn(
            output.name, output.name, Form.TENSOR, name, output.value.shape[1:]
        )
    labels = labels_of(output)
    if labels is None or not labels.names:
        return OutputColumn(output.name, output.name, Form.JSON)
    element = labels.element.name
    return OutputColumn(
        output.name, output.name, Form.MAP, element, labels=labels.names
    )


def fit(output: RowOutput, column: OutputColumn) -> Fitted:
    if column.form is Form.JSON:
        return _fit_json(output)
    if column.form is Form.MAP:
        return _fit_maps(output, column)
    value = output.value
    if not isinstance(value, np.ndarray) or value.shape[1:] != column.shape:
        rows = len(value)
        one = list(value.shape[1:]) if isinstance(value, np.ndarray) else "a list"
        why = f"is {one}, where the first rows had {list(column.shape)} each"
        return Fitted(pa.nulls(rows, column.type), dict.fromkeys(range(rows), why))
    return _fit_texts(value, column) if value.dtype == object else _fit_numbers(value)


def _fit_numbers(value: Array) -> Fitted:
    flat = np.ascontiguousarray(value.reshape(-1), dtype=held_as(value.dtype))
    return Fitted(nested(pa.array(flat), value.shape), {})


def _fit_texts(value: Array, column: OutputColumn) -> Fitted:
    texts = value.reshape(-1).tolist()
    misfits = {}
    if not all(type(text) is str for text in texts):
        width = column.width()
        strays = [at for at, text in enumerate(texts) if not isinstance(text, str)]
        misfits = {at // width: _NO_TEXT for at in strays}
        texts = [text if isinstance(text, str) else "" for text in texts]
    return Fitted(nested(pa.array(texts, pa.string()), value.shape), misfits)


def nested(flat: Any, shape: Sequence[int]) -> Any:
    """One list per axis beyond the rows."""
    column = flat
    for axis in range(len(shape) - 1, 0, -1):
        count = int(np.prod(shape[:axis]))
        offsets = pa.array(np.arange(count + 1, dtype=np.int64) * shape[axis])
        column = pa.LargeListArray.from_arrays(offsets, column)
    return column


def _fit_maps(output: RowOutput, column: OutputColumn) -> Fitted:
    rows: Sequence[Any] = list(output.value)
    known = set(column.labels)
    misfits: dict[int, str] = {}
    if not all(type(row) is dict and row.keys() == known for row in rows):
        rows, misfits = _known_maps(rows, known)
    arrays = [_labelled(rows, label, column.element_type) for label in column.labels]
    return Fitted(pa.StructArray.from_arrays(arrays, fields=list(column.type)), misfits)


def _known_maps(
    rows: Sequence[Any], known: set[Any]
) -> tuple[list[dict[Any, Any]], dict[int, str]]:
    maps: list[dict[Any, Any]] = []
    misfits = {}
    for at, row in enumerate(rows):
        is_map = isinstance(row, dict)
        if not is_map and row is not None:
            misfits[at] = f"is {describe_value(row)}, where the first rows had maps"
        elif is_map and not row.keys() <= known:
            label = next(key for key in row if key not in known)
            misfits[at] = f'has the label "{label}", which the first rows had not'
        maps.append(row if is_map and at not in misfits else {})
    return maps, misfits


def _labelled(rows: Sequence[dict[Any, Any]], label: Any, element: ElementType) -> Any:
    values = [row.get(label) for row in rows]
    return pa.array(values, arrow_element(element))


def _fit_json(output: RowOutput) -> Fitted:
    kind, value = output.item_type, output.value
    texts: list[str | None] = []
    misfits = {}
    for at, item in enumerate(value):
        try:
            texts.append(orjson.dumps(jsonable(item, kind), option=OPTIONS).decode())
        except orjson.JSONEncodeError as error:
            texts.append(None)
            misfits[at] = f"has no form in JSON ({error})"
    return Fitted(pa.array(texts, pa.string()), misfits)
