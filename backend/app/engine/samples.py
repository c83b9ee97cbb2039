"""Inputs made up for a model, to see whether and how it runs."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from app.engine.signature import (
    MapType,
    OptionalType,
    SequenceType,
    Signature,
    TensorType,
    ValueSpec,
    ValueType,
)
from app.engine.tensors import ElementType
from app.engine.values import Array, Scalar, Value
from app.errors import InvalidInput

_MOST_ELEMENTS = 2**28


@dataclass(frozen=True, slots=True)
class Sizes:
    """What free dimensions become: the first of an input is `rows`, others `inner`.

    A symbol that is first anywhere is `rows` everywhere.
    """

    rows: int
    inner: int


# Small first. Convolutions need an image of some size under their kernels.
ATTEMPTS = (
    Sizes(1, 1),
    Sizes(2, 2),
    Sizes(3, 3),
    Sizes(1, 16),
    Sizes(1, 64),
    Sizes(1, 224),
)


def sample_inputs(
    signature: Signature, sizes: Sizes, random: np.random.Generator
) -> dict[str, Value]:
    """InvalidInput where a tensor would be too large to make up."""
    row_symbols = {
        spec.shape[0]
        for spec in signature.inputs
        if spec.shape and isinstance(spec.shape[0], str)
    }
    return {
        spec.name: _sample(spec.type, _shape(spec, sizes, row_symbols), random)
        for spec in signature.inputs
    }


def _shape(spec: ValueSpec, sizes: Sizes, row_symbols: set[str]) -> tuple[int, ...]:
    if spec.shape is None:
        return (sizes.rows,)
    shape = tuple(
        dim
        if isinstance(dim, int)
        else sizes.rows
        if axis == 0 or dim in row_symbols
        else sizes.inner
        for axis, dim in enumerate(spec.shape)
    )
    if prod(shape) > _MOST_ELEMENTS:
        raise InvalidInput(f'input "{spec.name}" is too large to be made up: {shape}')
    return shape


def _sample(
    wanted: ValueType, shape: tuple[int, ...], random: np.random.Generator
) -> Value:
    match wanted:
        case TensorType(element=element):
            return _tensor(element, shape, random)
        case SequenceType(of=inner):
            return [_sample(inner, shape, random)]
        case OptionalType(of=inner):
            return _sample(inner, shape, random)
        case MapType(key=key, value=value):
            return _map(key, value, random)


def _map(key: ElementType, value: ValueType, random: np.random.Generator) -> Value:
    item: Value | Scalar = _sample(value, (), random)
    if isinstance(item, np.ndarray):
        item = item.item()
    names: dict[str, Any] = {"a": item}
    numbers: dict[int, Any] = {0: item}
    return names if key.is_string else numbers


def _tensor(
    element: ElementType, shape: tuple[int, ...], random: np.random.Generator
) -> Array:
    if element.is_string:
        return np.full(shape, "a", dtype=object)
    if element.is_float:
        return np.asarray(random.standard_normal(shape)).astype(element.dtype)
    return np.asarray(random.integers(0, 2, shape)).astype(element.dtype)
