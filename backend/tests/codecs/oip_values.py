"""Tensors of every type and shape, and what a request for an echo of them decodes to."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from app.codecs.base import Answer, Asked, Target
from app.codecs.oip_tensors import datatype_of
from app.engine.signature import Signature, TensorType, ValueSpec
from app.engine.tensors import ELEMENT_TYPES, ElementType
from app.engine.values import Array, Value

ELEMENTS = {element.name: element for element in ELEMENT_TYPES}
SHAPES = st.one_of(
    st.lists(st.integers(0, 3), max_size=4),
    st.lists(st.integers(1, 2), max_size=10),
    st.just([1, 1, 1, 2, 1, 1, 0, 1, 1, 3]),
).map(tuple)
STRINGS = st.one_of(
    st.text(max_size=8), st.binary(max_size=8).filter(lambda raw: not _is_text(raw))
)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


@st.composite
def tensors(draw: st.DrawFn) -> Array:
    element = draw(st.sampled_from(ELEMENT_TYPES))
    shape = draw(SHAPES)
    count = int(np.prod(shape, dtype=np.int64))
    if element.is_string:
        out = np.empty(count, dtype=object)
        out[:] = draw(st.lists(STRINGS, min_size=count, max_size=count))
        return out.reshape(shape)
    width = element.dtype.itemsize
    raw = draw(st.binary(min_size=count * width, max_size=count * width))
    return of_bits(raw, element).reshape(shape)


def of_bits(raw: bytes, element: ElementType) -> Array:
    """Any bits: NaNs, infinities, subnormals and both zeros among them."""
    codes: Array = np.frombuffer(raw, np.uint8)
    if element.name == "bool":
        return np.mod(codes, 2).astype(np.bool_)
    if element.bits < 8:
        codes = np.mod(codes, 2**element.bits)
        if element.is_float:
            return codes.view(element.dtype)
        half = 2 ** (element.bits - 1) if element.name.startswith("int") else 0
        return np.subtract(codes.astype(np.int8), half).astype(element.dtype)
    return np.frombuffer(raw, element.dtype)


def echo_target(array: Array) -> Target:
    """Of a model that takes `x` and gives it back as `y`."""
    element = element_named(array)
    shape = (None,) * array.ndim
    specs = [ValueSpec(name, TensorType(element), shape) for name in "xy"]
    return Target("id-1", "echo", "1.0.0", Signature((specs[0],), (specs[1],)))


def element_named(array: Array) -> ElementType:
    return ELEMENTS["string" if array.dtype == object else array.dtype.name]


def datatype(array: Array) -> str:
    return datatype_of(element_named(array))


def answer(target: Target, asked: Asked, outputs: dict[str, Value]) -> Answer:
    return Answer(target, asked, outputs, 0.1, False)


def described(array: Array, **more: Any) -> dict[str, Any]:
    shape = list(array.shape)
    return {"name": "x", "datatype": datatype(array), "shape": shape, **more}


def same_bits(got: Value, wanted: Array) -> bool:
    assert isinstance(got, np.ndarray)
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return False
    if wanted.dtype == object:
        return list(map(_typed, got.flat)) == list(map(_typed, wanted.flat))
    return got.tobytes() == wanted.tobytes()


def _typed(element: object) -> tuple[type, object]:
    return type(element), element


def same_numbers(got: Value, wanted: Array) -> bool:
    """As `same_bits`, but any NaN is like any other."""
    assert isinstance(got, np.ndarray)
    if not element_named(wanted).is_float:
        return same_bits(got, wanted)
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return False
    with np.errstate(invalid="ignore"):  # Some NaNs signal.
        mine, theirs = got.astype(np.float64), wanted.astype(np.float64)
    nan = np.isnan(theirs)
    if not np.array_equal(np.isnan(mine), nan):
        return False
    return bool(mine[~nan].tobytes() == theirs[~nan].tobytes())
