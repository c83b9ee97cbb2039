"""Every output as a tensor, for protocols that know nothing else.

A ZipMap's sequence of maps becomes `[rows, classes]` with its class labels beside it,
a map `[classes]`, a sequence of equal tensors their stack, an optional its value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from app.codecs.oip_tensors import datatype_of
from app.engine.signature import ValueSpec
from app.engine.tensors import ElementType
from app.engine.value_types import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
)
from app.engine.values import Array, Value
from app.errors import InvalidRequest

Label = str | int
Labels = tuple[Label, ...]
FREE = -1


class Dense(NamedTuple):
    """`labels` name the last axis."""

    array: Array
    labels: Labels | None = None


@dataclass(frozen=True, slots=True)
class DenseSpec:
    """What stands in metadata; free dimensions are -1, so is an unknown rank."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    # Set where the model's own type is no tensor.
    type: str | None = None
    labels: Labels | None = None


def densify(value: Value, spec: ValueSpec, labels: Labels | None = None) -> Dense:
    """Raises InvalidRequest where the value is no one tensor.

    `labels` are what a table without rows has for columns.
    """
    if isinstance(value, np.ndarray):
        return Dense(value)
    dense = _dense(value, spec.type, spec.name)
    if labels is not None and dense.labels == ():
        return Dense(dense.array.reshape(-1, len(labels)), labels)
    return dense


def dense_spec(spec: ValueSpec, labels: Labels | None = None) -> DenseSpec:
    """`labels`: the classes of a map, where they are known beforehand."""
    datatype = datatype_of(_element(spec.type))
    classes = FREE if labels is None else len(labels)
    if isinstance(spec.type, TensorType):
        dims = (None,) if spec.shape is None else spec.shape
        shape = tuple(dim if isinstance(dim, int) else FREE for dim in dims)
        return DenseSpec(spec.name, datatype, shape)
    shape = _shape(spec.type, classes)
    return DenseSpec(spec.name, datatype, shape, spec.dtype, labels)


def labels_text(labels: Labels) -> str:
    """Parameters hold no lists: the labels are JSON inside a string."""
    return orjson.dumps(labels).decode()


def _dense(value: Value, type_: ValueType, name: str) -> Dense:
    if isinstance(type_, OptionalType):
        if value is None:
            raise InvalidRequest(
                f'output "{name}": the model gave no value, which this protocol '
                "can't say; ask for other outputs, or use /api/v1."
            )
        return _dense(value, type_.of, name)
    if isinstance(type_, SequenceType) and isinstance(value, list):
        if isinstance(type_.of, MapType):
            return _table(value, type_.of, name)
        return _stack([_dense(item, type_.of, name) for item in value], type_, name)
    if isinstance(type_, MapType) and isinstance(value, dict):
        row = _values(value, tuple(value), type_)
        return Dense(row, tuple(value))
    assert isinstance(value, np.ndarray)
    return Dense(value)


def _table(rows: list[Value], type_: MapType, name: str) -> Dense:
    maps = [row for row in rows if isinstance(row, dict)]
    labels: Labels = tuple(maps[0]) if maps else ()
    out = np.empty((len(maps), len(labels)), dtype=_element(type_).dtype)
    for at, row in enumerate(maps):
        if row.keys() != maps[0].keys():
            raise InvalidRequest(
                f'output "{name}": row {at} has other keys than row 0, so the rows '
                "are no one tensor; ask for other outputs, or use /api/v1."
            )
        out[at] = _values(row, labels, type_)
    return Dense(out, labels)


def _values(row: Mapping[Any, object], labels: Labels, type_: MapType) -> Array:
    out = np.empty(len(labels), dtype=_element(type_).dtype)
    for at, label in enumerate(labels):
        out[at] = row[label]
    return out


def _stack(items: list[Dense], type_: SequenceType, name: str) -> Dense:
    if not items:
        return Dense(np.empty((0,), dtype=_element(type_).dtype))
    first = items[0].array
    for at, item in enumerate(items):
        if item.array.shape != first.shape or item.array.dtype != first.dtype:
            raise InvalidRequest(
                f'output "{name}": element {at} of the sequence has the shape '
                f"{list(item.array.shape)} and element 0 {list(first.shape)}, so they "
                "are no one tensor; ask for other outputs, or use /api/v1."
            )
    return Dense(np.stack([item.array for item in items]))


def _element(type_: ValueType) -> ElementType:
    if isinstance(type_, TensorType):
        return type_.element
    return _element(type_.value if isinstance(type_, MapType) else type_.of)


def _shape(type_: ValueType, classes: int) -> tuple[int, ...]:
    if isinstance(type_, MapType):
        return (classes,)
    if isinstance(type_, OptionalType):
        return _shape(type_.of, classes)
    if isinstance(type_, SequenceType) and not isinstance(type_.of, TensorType):
        return (FREE, *_shape(type_.of, classes))
    return (FREE,)
