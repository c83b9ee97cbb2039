"""Tensors that numpy cannot hand to ONNX Runtime, copied as bytes."""

import ctypes
import math
from typing import Any

import numpy as np
import onnxruntime as ort

from app.engine.tensors import BY_CODE, ElementType
from app.engine.values import Array


def to_ortvalue(array: Array, element: ElementType) -> Any:
    """An OrtValue with the data of `array`, shared or copied. Not for strings."""
    if element.native:
        return ort.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"))
    data = pack(array, element)
    value = ort.OrtValue.ortvalue_from_shape_and_type(
        list(array.shape), element.onnx_code
    )
    if data.nbytes:
        ctypes.memmove(value.data_ptr(), data.ctypes.data, data.nbytes)
    return value


def from_ortvalue(value: Any) -> Array:
    """An array of its own with the OrtValue's data. Not for strings."""
    element = BY_CODE[value.element_type()]
    shape = tuple(value.shape())
    size = math.prod(shape) * element.bits
    data = np.empty(-(-size // 8), dtype=np.uint8)
    if data.nbytes:
        ctypes.memmove(data.ctypes.data, value.data_ptr(), data.nbytes)
    return unpack(data, shape, element)


def pack(array: Array, element: ElementType) -> Array:
    """The bytes ONNX Runtime holds for `array`; small elements fill low bits first."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if element.bits >= 8:
        return flat
    per_byte = 8 // element.bits
    padded = np.zeros(-(-flat.size // per_byte) * per_byte, dtype=np.uint8)
    padded[: flat.size] = flat & ((1 << element.bits) - 1)
    lanes = padded.reshape(-1, per_byte) << _shifts(element)
    packed: Array = np.bitwise_or.reduce(lanes, axis=1)
    return packed


def unpack(data: Array, shape: tuple[int, ...], element: ElementType) -> Array:
    """The array whose bytes, as `pack` gives them, are `data`."""
    if element.bits >= 8:
        return data.view(element.dtype).reshape(shape)
    lanes = (data[:, np.newaxis] >> _shifts(element)) & ((1 << element.bits) - 1)
    return lanes.reshape(-1)[: math.prod(shape)].view(element.dtype).reshape(shape)


def _shifts(element: ElementType) -> Array:
    return np.arange(0, 8, element.bits, dtype=np.uint8)
