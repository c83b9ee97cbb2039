"""The binary tensor extension: JSON, then the bytes of the tensors it describes; or,
with a header of length 0, the bytes of the only input and nothing else."""

import math

import numpy as np

from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.oip_answer import encode_answer
from app.codecs.oip_json import read_request
from app.codecs.oip_request import OipInput, OipRequest, to_asked, wanted_element
from app.codecs.oip_tensors import datatype_of, from_raw, text_or_bytes
from app.engine.signature import ValueSpec, describe
from app.engine.values import Array
from app.errors import InvalidInput, InvalidRequest


class OipBinary:
    """Of one request, whose first `header_length` bytes are the JSON."""

    __slots__ = ("_header_length",)

    def __init__(self, header_length: int) -> None:
        self._header_length = header_length

    def decode(self, body: bytes, target: Target) -> Asked:
        length = self._header_length
        if not length:
            request = OipRequest((_only_input(body, target),))
            return to_asked(request, target, binary=True)
        if length > len(body):
            raise InvalidRequest(
                f"Inference-Header-Content-Length is {length}, but the body has only "
                f"{len(body)} bytes."
            )
        blobs = _BodyBlobs(body, length)
        request = read_request(body[:length], target, blobs)
        blobs.check_used_up()
        return to_asked(request, target)

    def encode(self, answer: Answer) -> Encoded:
        return encode_answer(answer)


class _BodyBlobs:
    def __init__(self, body: bytes, start: int) -> None:
        self._body = memoryview(body)
        self._at = start

    def take(self, size: int, place: str) -> memoryview:
        left = len(self._body) - self._at
        if size > left:
            raise InvalidRequest(
                f"{place}: expecting {size - left} additional bytes: binary_data_size "
                f"is {size}, but only {left} bytes are left in the body."
            )
        start, self._at = self._at, self._at + size
        return self._body[start : self._at]

    def check_used_up(self) -> None:
        left = len(self._body) - self._at
        if left:
            raise InvalidRequest(
                f"unexpected additional input data: {left} bytes follow the last "
                "tensor that the JSON describes."
            )


def _only_input(body: bytes, target: Target) -> OipInput:
    inputs = target.signature.inputs
    if len(inputs) != 1:
        raise InvalidRequest(
            f"a raw binary request is for models with one input; this one has "
            f"{len(inputs)}. Send JSON before the bytes, and its length in "
            "Inference-Header-Content-Length."
        )
    spec = inputs[0]
    element = wanted_element(spec)
    datatype = datatype_of(element)
    if element.is_string:
        return OipInput(spec.name, datatype, _one_string(body, spec))
    shape = _raw_shape(spec, len(body), element.dtype.itemsize)
    return OipInput(spec.name, datatype, from_raw(datatype, shape, body, spec.name))


def _one_string(body: bytes, spec: ValueSpec) -> Array:
    """The body is the element, without a length before it."""
    shape = (1,) if spec.shape is None else spec.shape
    if any(isinstance(dim, int) and dim != 1 for dim in shape):
        raise _needs_json(spec)
    array = np.empty((1,) * len(shape), dtype=object)
    array[...] = text_or_bytes(body)
    return array


def _raw_shape(spec: ValueSpec, size: int, itemsize: int) -> list[int]:
    """The free dimension is what the bytes make it; of two, the first is one row."""
    dims = list((None,) if spec.shape is None else spec.shape)
    free = [axis for axis, dim in enumerate(dims) if not isinstance(dim, int)]
    if len(free) == 2 and free[0] == 0:
        dims[0] = 1
        free = free[1:]
    if len(free) > 1:
        raise _needs_json(spec)
    fixed = [dim for dim in dims if isinstance(dim, int)]
    row_bytes = math.prod(fixed) * itemsize
    if free and row_bytes and size % row_bytes:
        raise InvalidInput(
            f'input "{spec.name}": the model wants {describe(spec)}, so the bytes come '
            f"in multiples of {row_bytes}; got {size}."
        )
    rest = size // row_bytes if row_bytes else 0
    return [dim if isinstance(dim, int) else rest for dim in dims]


def _needs_json(spec: ValueSpec) -> InvalidRequest:
    return InvalidRequest(
        f'input "{spec.name}": the bytes alone do not say the shape of '
        f"{describe(spec)}; send JSON before them, and its length in "
        "Inference-Header-Content-Length."
    )
