"""String tensors whose elements are not all UTF-8.

ONNX Runtime keeps strings as bytes, but its Python binding gives and takes only
`str`. Bytes go in as the constant of a one-node graph; they come out by reading
the C++ strings, once a known tensor proved that their layout is the expected one.
"""

import ctypes
import math
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from app.engine.options import session_options
from app.engine.providers import CPU
from app.engine.values import Array

# libstdc++: address of the characters, their count, 16 bytes of room or capacity.
_STRING_BYTES = 32
_WORD_BYTES = 8
_PROBE = (b"", b"\xff\x00", b"short", b"\xfe" + b"longer than the room inside" * 3)


def holds_bytes(array: Array) -> bool:
    """Whether some element is bytes; TypeError if one is neither str nor bytes."""
    if array.dtype.kind == "U":
        return False
    kinds = set(map(type, array.ravel().tolist()))
    strays = [kind for kind in kinds if not issubclass(kind, str | bytes)]
    if strays:
        raise TypeError(f"elements must be strings, got {strays[0].__name__}")
    return any(issubclass(kind, bytes) for kind in kinds)


def decoded(array: Array) -> Array | None:
    """The same strings, all as `str`; None if some are not valid UTF-8."""
    result = np.empty(array.shape, dtype=object)
    try:
        for index, element in enumerate(array.ravel().tolist()):
            result.flat[index] = _text(element)
    except UnicodeDecodeError:
        return None
    return result


def strings_to_ortvalue(array: Array) -> Any:
    """An OrtValue with the bytes of `array`; UnicodeEncodeError on lone surrogates."""
    data = [
        element if isinstance(element, bytes) else str(element).encode()
        for element in array.ravel().tolist()
    ]
    return _constant(data, array.shape)


def strings_from_ortvalue(value: Any) -> Array:
    """An array of `str`, and `bytes` where not UTF-8.

    RuntimeError where this build of ONNX Runtime lays strings out unexpectedly.
    """
    if not _layout_is_known():
        raise RuntimeError("strings that are not UTF-8 cannot be read on this platform")
    shape = tuple(value.shape())
    result = np.empty(shape, dtype=object)
    for index, data in enumerate(_read(value.data_ptr(), math.prod(shape))):
        result.flat[index] = _text_or_bytes(data)
    return result


def _constant(data: list[bytes], shape: tuple[int, ...]) -> Any:
    tensor = TensorProto(
        name="c", data_type=TensorProto.STRING, dims=shape, string_data=data
    )
    graph = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["y"])],
        "constant",
        [],
        [helper.make_tensor_value_info("y", TensorProto.STRING, shape)],
        initializer=[tensor],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    session = ort.InferenceSession(
        model.SerializeToString(),
        session_options(threads=1),
        providers=[CPU],
    )
    return session.run_with_ort_values(["y"], {})[0]


def _layout_is_known() -> bool:
    value = _constant(list(_PROBE), (len(_PROBE),))
    if value.tensor_size_in_bytes() != len(_PROBE) * _STRING_BYTES:
        return False
    lengths = [_length(value.data_ptr(), index) for index in range(len(_PROBE))]
    if lengths != [len(text) for text in _PROBE]:
        return False
    return _read(value.data_ptr(), len(_PROBE)) == list(_PROBE)


def _read(address: int, count: int) -> list[bytes]:
    return [
        ctypes.string_at(
            ctypes.c_uint64.from_address(address + index * _STRING_BYTES).value,
            _length(address, index),
        )
        for index in range(count)
    ]


def _length(address: int, index: int) -> int:
    at = address + index * _STRING_BYTES + _WORD_BYTES
    return ctypes.c_uint64.from_address(at).value


def _text(element: str | bytes) -> str:
    return element.decode() if isinstance(element, bytes) else element


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
