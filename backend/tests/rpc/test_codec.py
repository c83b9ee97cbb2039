"""Any tensor comes through a message as it was, raw or typed, and any message that is
broken is refused as one."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.codecs.base import Asked
from app.codecs.oip_tensors import from_raw, to_raw
from app.engine.values import Array, Value
from app.errors import BadRequest
from app.rpc.codec import OipProto, parse_infer
from app.rpc.generated import open_inference_pb2 as pb
from tests.codecs.oip_values import (
    answer,
    datatype,
    echo_target,
    element_named,
    same_bits,
    tensors,
)

FIELDS = {
    "bool": "bool_contents",
    "int8": "int_contents",
    "int16": "int_contents",
    "int32": "int_contents",
    "int64": "int64_contents",
    "uint8": "uint_contents",
    "uint16": "uint_contents",
    "uint32": "uint_contents",
    "uint64": "uint64_contents",
    "float32": "fp32_contents",
    "float64": "fp64_contents",
    "string": "bytes_contents",
}
# The tags of the fields whose elements lie on the wire as in memory.
FLOAT_TAGS = {"float32": b"\x32", "float64": b"\x3a"}


def raw_request(array: Array) -> bytes:
    request = pb.ModelInferRequest(model_name="echo", id="7")
    request.inputs.add(name="x", datatype=datatype(array), shape=array.shape)
    request.raw_input_contents.append(to_raw(array))
    body: bytes = request.SerializeToString()
    return body


def typed_request(array: Array) -> bytes:
    name = element_named(array).name
    request = pb.ModelInferRequest(model_name="echo")
    tensor = request.inputs.add(name="x", datatype=datatype(array), shape=array.shape)
    if name in FLOAT_TAGS:
        # Bit by bit: through Python's float some NaNs come out as others.
        size = pb.ModelInferRequest(id="x" * array.nbytes).SerializeToString()[1:]
        length = size[: len(size) - array.nbytes]
        if array.size:
            wire = FLOAT_TAGS[name] + length + array.tobytes()
            tensor.contents.MergeFromString(wire)
    else:
        elements = array.ravel().tolist()
        if name == "string":
            elements = [e if isinstance(e, bytes) else e.encode() for e in elements]
        getattr(tensor.contents, FIELDS[name]).extend(elements)
    body: bytes = request.SerializeToString()
    return body


def decode(body: bytes, array: Array) -> Asked:
    return OipProto(parse_infer(body)).decode(b"", echo_target(array))


def decoded(body: bytes, array: Array) -> Value:
    return decode(body, array).inputs["x"]


@given(tensors())
def test_any_tensor_comes_in_and_goes_out_raw_bit_by_bit(array: Array) -> None:
    target = echo_target(array)
    codec = OipProto(parse_infer(raw_request(array)))
    asked = codec.decode(b"", target)
    assert same_bits(asked.inputs["x"], array)
    encoded = codec.encode(answer(target, asked, {"y": asked.inputs["x"]}))
    response = pb.ModelInferResponse.FromString(encoded.body)
    assert (response.model_name, response.id) == ("echo", "7")
    (output,), (raw,) = response.outputs, response.raw_output_contents
    assert not output.HasField("contents")
    assert same_bits(from_raw(output.datatype, output.shape, raw, "y"), array)


@given(tensors())
def test_typed_contents_are_the_same_tensor_as_raw_ones(array: Array) -> None:
    assume(element_named(array).name in FIELDS)
    typed = decoded(typed_request(array), array)
    assert same_bits(typed, array)
    assert same_bits(decoded(raw_request(array), array), array)


@given(tensors(), st.data())
def test_a_mutilated_message_is_refused_or_read_and_never_anything_else(
    array: Array, data: st.DataObject
) -> None:
    body = bytearray(
        data.draw(st.sampled_from([raw_request, typed_request_or_raw]))(array)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "grow"])):
            case "flip":
                body[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del body[at : at + data.draw(st.integers(1, 8))]
            case "grow":
                body[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        if not body:
            return
    with suppress(BadRequest):
        decode(bytes(body), array)


def typed_request_or_raw(array: Array) -> bytes:
    has_field = element_named(array).name in FIELDS
    return typed_request(array) if has_field else raw_request(array)


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_read(body: bytes) -> None:
    with suppress(BadRequest):
        decode(body, np.zeros(1, np.float32))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_blobs_of_any_length_are_read_back(size: int) -> None:
    array = np.arange(size, dtype=np.uint8)
    target = echo_target(array)
    codec = OipProto(parse_infer(raw_request(array)))
    asked = codec.decode(b"", target)
    body = codec.encode(answer(target, asked, {"y": array})).body
    assert pb.ModelInferResponse.FromString(body).raw_output_contents == [
        array.tobytes()
    ]
