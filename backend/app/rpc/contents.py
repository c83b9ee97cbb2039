"""Tensors in a message's typed fields, where each type has the field it rides in."""

import math
from typing import Final

import numpy as np

from app.codecs.oip_tensors import check_shape, text_or_bytes
from app.engine.tensors import ElementType
from app.engine.values import Array
from app.errors import InvalidInput
from app.rpc.generated import open_inference_pb2 as pb

_FIELDS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def from_contents(
    tensor: pb.ModelInferRequest.InferInputTensor, element: ElementType
) -> Array:
    """The tensor, of the elements that its datatype names; InvalidInput if it can't be."""
    place = f'input "{tensor.name}"'
    dims = check_shape(tensor.shape, place)
    field = _field(tensor, place)
    numbers = getattr(tensor.contents, field)
    if len(numbers) != math.prod(dims):
        raise InvalidInput(
            f"{place}: the shape {list(dims)} has {math.prod(dims)} elements, "
            f"{field} holds {len(numbers)}."
        )
    if element.is_string:
        flat = np.empty(len(numbers), dtype=object)
        flat[:] = [text_or_bytes(raw) for raw in numbers]
    else:
        flat = _narrowed(np.array(numbers), element, f"{place}: {field}")
    return flat.reshape(dims)


def _field(tensor: pb.ModelInferRequest.InferInputTensor, place: str) -> str:
    """The field its datatype rides in; no other one may hold anything."""
    field = _FIELDS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(
            f"{place}: {tensor.datatype} has no typed contents; send it in "
            "raw_input_contents."
        )
    given = [descriptor.name for descriptor, _value in tensor.contents.ListFields()]
    strays = [name for name in given if name != field]
    if strays:
        raise InvalidInput(
            f"{place}: {tensor.datatype} rides in {field}, got {', '.join(strays)}."
        )
    return field


def _narrowed(wide: Array, element: ElementType, place: str) -> Array:
    """Small integers ride in a field of 32 bits: what they can't hold is refused."""
    if wide.dtype == element.dtype:
        return wide
    narrow = wide.astype(element.dtype)
    wrong = wide != narrow
    if wrong.any():
        at = int(np.argmax(wrong))
        limits = np.iinfo(element.dtype)
        raise InvalidInput(
            f"{place}[{at}] is {wide[at]}, outside the range of {element.name} "
            f"({limits.min} to {limits.max})."
        )
    return narrow
