"""Values as a client writes and reads them in JSON, with no code of the server's."""

import base64
import math
from typing import Any

import numpy as np

from app.engine.tensors import ElementType, element_of
from app.engine.value_types import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
)
from app.engine.values import Array

_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any) -> Any:
    """A value for `input_data`: nested lists where they say the whole shape."""
    if isinstance(value, np.ndarray):
        if says_its_shape(value.shape):
            return nested(value)
        return {"shape": list(value.shape), "data": []}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return value


def says_its_shape(shape: tuple[int, ...]) -> bool:
    """Whether no dimension comes after one that is 0."""
    return 0 not in shape[:-1]


def nested(array: Array) -> Any:
    element = element_of(array)
    if element.is_string:
        return _each(array.tolist(), _text)
    if element.is_float:
        return _each(_as_float64(array).tolist(), _number)
    if element.name == "bool":
        return array.tolist()
    wide = np.uint64 if element.name == "uint64" else np.int64
    return array.astype(wide).tolist()


def _as_float64(array: Array) -> Array:
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        return array.astype(np.float64)


def from_json(data: Any, type_: ValueType, shape: Any = None) -> Any:
    """The value that an answer means; `shape` where its nesting does not say it."""
    if isinstance(type_, TensorType):
        return from_nested(data, type_.element, shape)
    if isinstance(type_, OptionalType):
        return None if data is None else from_json(data, type_.of, shape)
    if isinstance(type_, SequenceType):
        shapes = shape if shape is not None else [None] * len(data)
        return [
            from_json(item, type_.of, its_shape)
            for item, its_shape in zip(data, shapes, strict=True)
        ]
    return {_key(key, type_): _scalar(item, type_) for key, item in data.items()}


def from_nested(data: Any, element: ElementType, shape: Any = None) -> Array:
    if shape is not None:
        return np.empty(shape, element.dtype)
    found = _shape_of(data)
    flat = np.empty(math.prod(found), dtype=object)
    for at, item in enumerate(_leaves(data)):
        flat[at] = _value(item, element)
    return flat.astype(element.dtype).reshape(found)


def _shape_of(data: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        if not data:
            break
        data = data[0]
    return tuple(shape)


def _leaves(data: Any) -> Any:
    if isinstance(data, list):
        for item in data:
            yield from _leaves(item)
    else:
        yield data


def _value(item: Any, element: ElementType) -> Any:
    if element.is_string:
        return base64.b64decode(item["b64"]) if isinstance(item, dict) else item
    if isinstance(item, str):
        return _NAMES[item]
    return item


def _scalar(item: Any, type_: MapType) -> Any:
    if not isinstance(type_.value, TensorType):
        return from_json(item, type_.value)
    # ONNX Runtime gives a map's numbers as Python's own.
    return from_nested(item, type_.value.element).item()


def _key(key: str, type_: MapType) -> str | int:
    return key if type_.key.is_string else int(key)


def _each(data: Any, write: Any) -> Any:
    if isinstance(data, list):
        return [_each(item, write) for item in data]
    return write(data)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _text(value: str | bytes) -> Any:
    if isinstance(value, str):
        return value
    return {"b64": base64.b64encode(value).decode()}
