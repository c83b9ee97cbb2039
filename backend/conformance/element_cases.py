"""Cases of our own beside ONNX's: every element type, at its edges and in odd shapes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from app.engine.tensors import ELEMENT_TYPES, ElementType
from app.engine.values import Array
from conformance.cases import Case

KIND = "elements"
# ONNX Runtime's Identity takes none of these; it casts them to float32 and back.
_CAST = frozenset({"uint4", "int4", "uint2", "int2", "float8_e8m0fnu"})
_SHAPES = ((), (0,), (3,), (0, 4), (2, 0, 3), (2, 3), (1, 2, 1, 1, 2, 1, 1, 3, 1, 2))
_TEXTS = ("", "a", "é", "日本", "\x00", '"quoted"', "[", "a\nb", b"\xff\x00", b"\xfe")


def collect() -> list[Case]:
    """One case for each type: a model that gives back what it is given."""
    return [_case(element) for element in ELEMENT_TYPES]


def _case(element: ElementType) -> Case:
    type_ = helper.make_tensor_type_proto(element.onnx_code, None)
    graph = helper.make_graph(
        _nodes(element),
        "same",
        [helper.make_value_info("x", type_)],
        [helper.make_value_info("y", type_)],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13
    )
    sets: tuple[tuple[list[Any], list[Any]], ...] = tuple(
        ([array], [array]) for array in _arrays(element)
    )
    name = f"element_{element.name}"
    return Case(name, KIND, model.SerializeToString(), 0.0, 0.0, sets)


def _nodes(element: ElementType) -> list[NodeProto]:
    if element.name not in _CAST:
        return [helper.make_node("Identity", ["x"], ["y"])]
    return [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["wide"], ["y"], to=element.onnx_code),
    ]


def _arrays(element: ElementType) -> Iterator[Array]:
    edges = _edges(element)
    yield edges
    for shape in _SHAPES:
        yield np.resize(edges, shape)


def _edges(element: ElementType) -> Array:
    """The values at which something may go wrong."""
    if element.is_string:
        return np.array(_TEXTS, dtype=object)
    if element.name == "bool":
        return np.array([True, False, True])
    if element.is_float:
        return _float_edges(element)
    if element.bits <= 8:
        codes = np.arange(2**element.bits)
        signed = element.name.startswith("int")
        return (codes - (len(codes) // 2 if signed else 0)).astype(element.dtype)
    limits = np.iinfo(element.dtype)
    near = [limits.min, limits.min + 1, 0, 1, limits.max - 1, limits.max]
    beyond = [2**53 + 1] if element.bits == 64 else []
    return np.array(near + beyond, dtype=element.dtype)


def _float_edges(element: ElementType) -> Array:
    """Every number of the small types; of the others zeros, NaN, infinities, the
    largest, the smallest and some that no short text says."""
    if element.bits <= 16:
        width = 2 ** min(element.bits, 16)
        codes = np.arange(width, dtype=np.uint16 if element.bits == 16 else np.uint8)
        return codes.view(element.dtype)
    limits = np.finfo(element.dtype)
    tiny, top = float(limits.smallest_subnormal), float(limits.max)
    odd = [0.1, 1 / 3, float(limits.tiny), float(limits.eps), np.pi * 1e10]
    signed = [0.0, np.inf, tiny, top, *odd]
    return np.array([np.nan, *signed, *(-x for x in signed)], dtype=element.dtype)
