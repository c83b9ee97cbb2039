"""The one table of tensor element types, under each of the names they go by."""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from app.engine.values import Array


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element type.

    `native` types pass through numpy in ONNX Runtime's Python API; the others
    are copied as raw memory, `bits` to the element, packed from the low bits up.
    """

    name: str
    onnx: str
    onnx_code: int
    oip: str | None
    dtype: np.dtype[Any]
    native: bool
    bits: int

    @property
    def is_float(self) -> bool:
        return "float" in self.name

    @property
    def is_string(self) -> bool:
        return self.name == "string"


def _native(name: str, onnx: str, code: int, oip: str) -> ElementType:
    dtype = np.dtype(object if name == "string" else name)
    return ElementType(name, onnx, code, oip, dtype, True, 8 * dtype.itemsize)


def _raw(
    name: str, onnx: str, code: int, bits: int, oip: str | None = None
) -> ElementType:
    dtype = np.dtype(getattr(ml_dtypes, name))
    return ElementType(name, onnx, code, oip, dtype, False, bits)


# Codes are those of onnx.TensorProto.DataType. Complex and 6-bit floats are
# absent: ONNX Runtime's CPU provider has no such tensors.
ELEMENT_TYPES: tuple[ElementType, ...] = (
    _native("float32", "float", 1, "FP32"),
    _native("uint8", "uint8", 2, "UINT8"),
    _native("int8", "int8", 3, "INT8"),
    _native("uint16", "uint16", 4, "UINT16"),
    _native("int16", "int16", 5, "INT16"),
    _native("int32", "int32", 6, "INT32"),
    _native("int64", "int64", 7, "INT64"),
    _native("string", "string", 8, "BYTES"),
    _native("bool", "bool", 9, "BOOL"),
    _native("float16", "float16", 10, "FP16"),
    _native("float64", "double", 11, "FP64"),
    _native("uint32", "uint32", 12, "UINT32"),
    _native("uint64", "uint64", 13, "UINT64"),
    _raw("bfloat16", "bfloat16", 16, 16, "BF16"),
    _raw("float8_e4m3fn", "float8e4m3fn", 17, 8),
    _raw("float8_e4m3fnuz", "float8e4m3fnuz", 18, 8),
    _raw("float8_e5m2", "float8e5m2", 19, 8),
    _raw("float8_e5m2fnuz", "float8e5m2fnuz", 20, 8),
    _raw("uint4", "uint4", 21, 4),
    _raw("int4", "int4", 22, 4),
    _raw("float4_e2m1fn", "float4e2m1", 23, 4),
    _raw("float8_e8m0fnu", "float8e8m0", 24, 8),
    _raw("uint2", "uint2", 25, 2),
    _raw("int2", "int2", 26, 2),
)

BY_NAME = {element.name: element for element in ELEMENT_TYPES}
BY_ONNX = {element.onnx: element for element in ELEMENT_TYPES}
BY_CODE = {element.onnx_code: element for element in ELEMENT_TYPES}
BY_DTYPE = {element.dtype: element for element in ELEMENT_TYPES}
BY_OIP = {element.oip: element for element in ELEMENT_TYPES if element.oip}


def find_element(dtype: np.dtype[Any]) -> ElementType | None:
    """The element type of a numpy dtype of any byte order; numpy's str is string."""
    found = BY_DTYPE.get(dtype)
    if found is not None:
        return found
    if dtype.kind == "U":
        return BY_NAME["string"]
    return BY_DTYPE.get(dtype.newbyteorder("="))


def element_of(array: Array) -> ElementType:
    """The element type of `array`; TypeError if no tensor can have its dtype."""
    found = find_element(array.dtype)
    if found is None:
        raise TypeError(f"no tensor has elements of dtype {array.dtype}")
    return found
