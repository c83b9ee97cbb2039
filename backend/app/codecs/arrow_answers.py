"""Answers as Arrow tables: vectors are lists, maps are structs of their labels."""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.codecs.base import Answer
from app.codecs.row_answers import LabelledRows, RowOutput, labels_of, row_outputs
from app.engine.tensors import BY_DTYPE, ElementType
from app.engine.value_types import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
)
from app.engine.values import Array
from app.errors import NotAcceptable

# Arrow has no 8-bit floats and no 4-bit integers; these hold each of their values.
_FLOAT: Final = np.dtype(np.float32)
_SIGNED: Final = np.dtype(np.int8)
_UNSIGNED: Final = np.dtype(np.uint8)


def arrow_table(answer: Answer) -> Any:
    """A pyarrow.Table of one row per row that was sent."""
    _, outputs = row_outputs(answer)
    names = [output.name for output in outputs]
    return pa.Table.from_arrays([_output(output) for output in outputs], names=names)


def _output(output: RowOutput) -> Any:
    if isinstance(output.value, np.ndarray):
        return _tensor(output.value)
    labels = labels_of(output)
    if labels is not None and labels.names:
        return _struct(labels)
    try:
        kind = _type(output.item_type, output.value)
        return pa.array([_plain(item) for item in output.value], kind)
    except (pa.ArrowException, TypeError) as error:
        raise NotAcceptable(
            f'output "{output.name}" has no form in Arrow ({error}); accept '
            f"application/json."
        ) from None


def _tensor(array: Array) -> Any:
    """One list per axis beyond the rows."""
    column = _flat(array.reshape(-1))
    for axis in range(array.ndim - 1, 0, -1):
        width = array.shape[axis]
        count = int(np.prod(array.shape[:axis]))
        offsets = pa.array(np.arange(count + 1, dtype=np.int64) * width)
        column = pa.LargeListArray.from_arrays(offsets, column)
    return column


def _flat(array: Array) -> Any:
    if array.dtype != object:
        return pa.array(np.ascontiguousarray(array, dtype=held_as(array.dtype)))
    values = array.tolist()
    if any(isinstance(value, bytes) for value in values):
        return pa.array([_encoded(value) for value in values], pa.binary())
    return pa.array(values, pa.string())


def _encoded(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def held_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    element = BY_DTYPE.get(dtype)
    if element is None or element.native:
        return dtype
    if element.is_float:
        return _FLOAT
    return _UNSIGNED if element.name.startswith("u") else _SIGNED


def _struct(labels: LabelledRows) -> Any:
    """A label that a row's map lacks is null there."""
    columns = []
    for label in labels.names:
        column = _flat(labels.array_of(label))
        missing = ~np.array(labels.has(label), dtype=bool)
        if missing.any():
            column = pa.array(column.to_pylist(), column.type, mask=missing)
        columns.append(column)
    return pa.StructArray.from_arrays(columns, names=[str(n) for n in labels.names])


def _type(kind: ValueType, values: list[Any]) -> Any:
    """Of what `_plain` makes of these values."""
    match kind:
        case TensorType(element=element):
            inner = arrow_element(element)
            for _ in range(max([getattr(v, "ndim", 0) for v in values], default=0)):
                inner = pa.large_list(inner)
            return inner
        case OptionalType(of=inside):
            return _type(inside, values)
        case SequenceType(of=inside):
            return pa.large_list(_type(inside, [i for v in values for i in v or ()]))
        case MapType(key=key, value=inside):
            held = [item for value in values for item in (value or {}).values()]
            return pa.map_(arrow_element(key), _type(inside, held))


def arrow_element(element: ElementType) -> Any:
    if element.is_string:
        return pa.string()
    return pa.from_numpy_dtype(held_as(element.dtype))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.astype(held_as(value.dtype)).tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return [(key, _plain(item)) for key, item in value.items()]
    return value
