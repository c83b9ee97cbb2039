"""From values to what ONNX Runtime's Python API takes, and back, where they differ."""

from typing import Any

import numpy as np

from app.engine import raw_memory, strings
from app.engine.signature import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueSpec,
    ValueType,
)
from app.engine.values import Array, Value
from app.errors import InvalidInput


def is_raw(wanted: ValueType) -> bool:
    """Whether its tensors cannot pass through numpy."""
    match wanted:
        case TensorType(element=element):
            return not element.native
        case OptionalType(of=inner) | SequenceType(of=inner):
            return is_raw(inner)
        case MapType():
            return False


def needs_feeding(wanted: ValueType) -> bool:
    """Whether some values of this type must be converted before a run."""
    match wanted:
        case TensorType(element=element):
            return element.is_string or not element.native
        case OptionalType(of=inner) | SequenceType(of=inner):
            return needs_feeding(inner)
        case MapType():
            return False


def feed(spec: ValueSpec, value: Value) -> Any:
    """What `run` takes for this input."""
    return _feed(spec, spec.type, value)


def feed_as_ortvalue(spec: ValueSpec, value: Value) -> Any:
    """An OrtValue, which ONNX Runtime wants of every input in a run that gives some."""
    wanted = spec.type.of if isinstance(spec.type, OptionalType) else spec.type
    if not isinstance(wanted, TensorType) or not isinstance(value, np.ndarray):
        raise InvalidInput(
            f'input "{spec.name}": ONNX Runtime cannot be given {spec.dtype} in a '
            "run whose outputs numpy has no type for"
        )
    if wanted.element.is_string:
        _holds_bytes(spec, value)
        return strings.strings_to_ortvalue(value)
    return raw_memory.to_ortvalue(value, wanted.element)


def read(value: Any) -> Value:
    """The value of an OrtValue that a run gave."""
    if not value.has_value():
        return None
    if not value.is_tensor():
        raise RuntimeError(f"outputs of type {value.data_type()} cannot be read here")
    if value.data_type() == "tensor(string)":
        return strings.strings_from_ortvalue(value)
    return raw_memory.from_ortvalue(value)


def _feed(spec: ValueSpec, wanted: ValueType, value: Value) -> Any:
    match wanted:
        case TensorType(element=element) if isinstance(value, np.ndarray):
            if element.is_string:
                return _feed_strings(spec, value)
            return value if element.native else raw_memory.to_ortvalue(value, element)
        case OptionalType(of=inner) if value is not None:
            return _feed(spec, inner, value)
        case SequenceType(of=inner) if isinstance(value, list):
            return [_feed_item(spec, inner, item) for item in value]
        case _:
            return value


def _feed_item(spec: ValueSpec, wanted: ValueType, item: Value) -> Any:
    fed = _feed(spec, wanted, item)
    if isinstance(item, np.ndarray) and not isinstance(fed, np.ndarray):
        raise InvalidInput(
            f'input "{spec.name}": ONNX Runtime\'s Python API takes no {spec.dtype} '
            "of these elements"
        )
    return fed


def _feed_strings(spec: ValueSpec, array: Array) -> Any:
    if not _holds_bytes(spec, array):
        return array
    decoded = strings.decoded(array)
    return strings.strings_to_ortvalue(array) if decoded is None else decoded


def _holds_bytes(spec: ValueSpec, array: Array) -> bool:
    try:
        return strings.holds_bytes(array)
    except TypeError as error:
        raise InvalidInput(f'input "{spec.name}": {error}') from error
