"""What ONNX Runtime itself makes of a case, without any of the server's code around it.

Only the options of its sessions are the server's, and how tensors that numpy has no
type for are copied.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from app.engine import raw_memory
from app.engine.options import session_options
from app.engine.providers import CPU
from app.engine.runtime_errors import ORT_ERRORS
from app.engine.tensors import BY_ONNX, element_of
from app.engine.values import Array


class NotRun(Exception):
    """ONNX Runtime does not load this case, or does not run it."""


class Reference:
    """One model in a plain session; raises NotRun if there can be none."""

    def __init__(self, model: bytes) -> None:
        options = session_options(threads=1, size_bytes=len(model))
        try:
            self._session = ort.InferenceSession(model, options, providers=[CPU])
        except ORT_ERRORS as error:
            raise NotRun(str(error)) from None
        self.inputs = [(node.name, node.type) for node in self._session.get_inputs()]
        self.outputs = [(node.name, node.type) for node in self._session.get_outputs()]

    def run(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """The outputs by name; `inputs` in the model's order."""
        if len(inputs) != len(self.inputs):
            raise NotRun(f"{len(inputs)} inputs for {len(self.inputs)}")
        try:
            return self._run(inputs)
        except ORT_ERRORS as error:
            raise NotRun(str(error)) from None

    def _run(self, inputs: Sequence[Any]) -> dict[str, Any]:
        names = [name for name, _ in self.outputs]
        pairs = list(zip(self.inputs, inputs, strict=True))
        if not any(_is_raw(type_) for _, type_ in (*self.inputs, *self.outputs)):
            feeds = {name: value for (name, _), value in pairs}
            return dict(zip(names, self._session.run(names, feeds), strict=True))
        feeds = {name: _ort_value(value) for (name, _), value in pairs}
        values = self._session.run_with_ort_values(names, feeds)
        return dict(zip(names, map(_numpy, values), strict=True))


def _is_raw(type_: str) -> bool:
    head, _, rest = type_.partition("(")
    if head != "tensor":
        return _is_raw(rest.removesuffix(")")) if rest else False
    element = BY_ONNX.get(rest.removesuffix(")"))
    if element is None:
        raise NotRun(f"no tensor has elements of the type {rest}")
    return not element.native


def _ort_value(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise NotRun(f"no OrtValue can be made of a {type(value).__name__}")
    element = element_of(value)
    if element.is_string:
        return ort.OrtValue.ortvalue_from_numpy(value)
    return raw_memory.to_ortvalue(value, element)


def _numpy(value: Any) -> Any:
    if not value.is_tensor() or value.data_type() == "tensor(string)":
        return value.numpy()
    return raw_memory.from_ortvalue(value)


def agrees(ours: Any, expected: Any, rtol: float, atol: float) -> bool:
    """Whether two values are the same but for rounding, as ONNX's runner asks it."""
    if isinstance(expected, list):
        return (
            isinstance(ours, list)
            and len(ours) == len(expected)
            and all(
                agrees(one, other, rtol, atol)
                for one, other in zip(ours, expected, strict=True)
            )
        )
    if not isinstance(expected, np.ndarray) or not isinstance(ours, np.ndarray):
        return bool(ours is None and expected is None)
    return _arrays_agree(ours, expected, rtol, atol)


def _arrays_agree(ours: Array, expected: Array, rtol: float, atol: float) -> bool:
    if ours.shape != expected.shape or ours.dtype != expected.dtype:
        return False
    if ours.dtype == object:
        return bool(ours.tolist() == expected.tolist())
    if not element_of(ours).is_float:
        return ours.tobytes() == expected.tobytes()
    if ours.dtype.name == "bfloat16":
        rtol = max(rtol, 2**-6)
    left, right = ours.astype(np.float64), expected.astype(np.float64)
    return np.allclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
