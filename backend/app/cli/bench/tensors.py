"""Inputs made from what a server says of its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.cli.bench.variation import INTEGERS, Variation, variation_of
from app.engine.values import Array

_FLOATS: Final = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}
MAX_ELEMENTS: Final = 50_000_000


class CannotMake(Exception):
    """No input can be made, said so that a person can help."""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    datatype: str
    array: Array


@dataclass(frozen=True, slots=True)
class Sizes:
    """`batch` for the first free dimension of an input, `length` for the others."""

    batch: int
    length: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """The last tensor is the one that varies, if any does."""

    tensors: tuple[Tensor, ...]
    variation: Variation | None


def make_inputs(
    described: Sequence[Mapping[str, Any]], sizes: Sizes, *, text: str | None, seed: int
) -> Inputs:
    """`described`: the inputs of the protocol's model metadata."""
    random = np.random.default_rng(seed)
    tensors = [_tensor(one, sizes, text, random) for one in described]
    tensors.sort(key=_can_vary)
    last = tensors[-1]
    return Inputs(tuple(tensors), variation_of(last.datatype, last.array, text or ""))


def _tensor(
    described: Mapping[str, Any],
    sizes: Sizes,
    text: str | None,
    random: np.random.Generator,
) -> Tensor:
    name, datatype = described["name"], described["datatype"]
    shape = _shape(described["shape"], sizes)
    if np.prod(shape, dtype=float) > MAX_ELEMENTS:
        raise CannotMake(
            f"Input {name!r} would have more than {MAX_ELEMENTS:,} elements: choose a "
            "smaller --batch or --length."
        )
    return Tensor(name, datatype, _values(name, datatype, shape, text, random))


def _shape(dims: Sequence[int], sizes: Sizes) -> tuple[int, ...]:
    free = iter([sizes.batch])
    return tuple(dim if dim >= 0 else next(free, sizes.length) for dim in dims)


def _values(
    name: str,
    datatype: str,
    shape: tuple[int, ...],
    text: str | None,
    random: np.random.Generator,
) -> Array:
    if datatype in _FLOATS:
        return random.standard_normal(shape).round(4).astype(_FLOATS[datatype])
    if datatype in INTEGERS:
        return random.integers(0, 10, shape).astype(INTEGERS[datatype])
    if datatype == "BOOL":
        return random.integers(0, 2, shape).astype(np.bool_)
    if datatype != "BYTES":
        raise CannotMake(f"Input {name!r} is {datatype}: bench can't make such values.")
    if text is None:
        raise CannotMake(
            f"Input {name!r} is text: give a sample of what it takes with --text."
        )
    return np.full(shape, text, dtype=object)


def _can_vary(tensor: Tensor) -> int:
    """How well a tensor can carry the count: floats best, then text, then integers."""
    if not tensor.array.size:
        return 0
    if tensor.datatype in ("FP32", "FP64"):
        return 100
    if tensor.datatype == "BYTES":
        return 99
    if tensor.datatype in INTEGERS and tensor.array.ndim:
        return min(int(tensor.array.shape[-1]), 98)
    return 0
