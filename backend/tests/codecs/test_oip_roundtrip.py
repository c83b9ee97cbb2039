"""Any tensor comes through the Open Inference Protocol's two forms as it was, and any
body that is broken is refused as one."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.codecs.base import Target
from app.codecs.oip_binary import OipBinary
from app.codecs.oip_json import OipJSON
from app.codecs.oip_tensors import from_raw, to_raw
from app.engine.values import Array, Value
from app.errors import BadRequest
from tests.codecs.oip_values import (
    answer,
    datatype,
    described,
    echo_target,
    element_named,
    same_bits,
    same_numbers,
    tensors,
)

# A busy machine is no reason to fail.
without_deadline = settings(deadline=None)

HEADER = b"inference-header-content-length"


def through_json(array: Array) -> tuple[Value, dict[str, Any]]:
    """An answer with `array`, then that answer's output sent as an input."""
    target = echo_target(array)
    asked = OipJSON().decode(_empty(array), target)
    encoded = OipJSON().encode(answer(target, asked, {"y": array}))
    assert encoded.media_type == "application/json"
    assert encoded.headers == ()
    output = json.loads(encoded.body)["outputs"][0]
    body = orjson.dumps({"inputs": [{**output, "name": "x"}]})
    return OipJSON().decode(body, target).inputs["x"], output


def through_binary(array: Array) -> tuple[Value, bytes]:
    target = echo_target(array)
    raw = to_raw(array)
    head = orjson.dumps(
        {
            "inputs": [described(array, parameters={"binary_data_size": len(raw)})],
            "parameters": {"binary_data_output": True},
        }
    )
    codec = OipBinary(len(head))
    asked = codec.decode(head + raw, target)
    encoded = codec.encode(answer(target, asked, {"y": asked.inputs["x"]}))
    length = int(dict(encoded.headers)[HEADER])
    output = orjson.loads(encoded.body[:length])["outputs"][0]
    blob = encoded.body[length:]
    assert output["parameters"]["binary_data_size"] == len(blob)
    assert "data" not in output
    return from_raw(output["datatype"], output["shape"], blob, "x"), blob


def _empty(array: Array) -> bytes:
    empty = np.empty((0,) * array.ndim if array.ndim else (), array.dtype)
    data = [] if array.ndim else ["" if array.dtype == object else 1]
    return orjson.dumps({"inputs": [described(empty, data=data)]})


@without_deadline
@given(tensors())
def test_any_tensor_comes_through_json_as_it_was(array: Array) -> None:
    got, output = through_json(array)
    assert same_numbers(got, array)
    assert len(output["data"]) == array.size


@without_deadline
@given(tensors())
def test_any_tensor_comes_through_binary_bit_by_bit(array: Array) -> None:
    got, blob = through_binary(array)
    assert same_bits(got, array)
    if element_named(array).native and array.dtype != object:
        assert blob == array.tobytes()


@without_deadline
@given(tensors())
def test_nested_data_are_read_like_flat_ones(array: Array) -> None:
    if array.dtype == object or not array.ndim:
        return
    _, output = through_json(array)
    flat = np.empty(array.size, dtype=object)
    flat[:] = output["data"]
    nested = flat.reshape(array.shape).tolist()
    body = orjson.dumps({"inputs": [described(array, data=nested)]})
    assert same_numbers(OipJSON().decode(body, echo_target(array)).inputs["x"], array)


@without_deadline
@given(tensors(), st.data())
def test_a_mutilated_binary_body_is_a_bad_request(
    array: Array, data: st.DataObject
) -> None:
    raw = to_raw(array)
    head = orjson.dumps(
        {"inputs": [described(array, parameters={"binary_data_size": len(raw)})]}
    )
    body = bytearray(head + raw)
    length = len(head)
    for _ in range(data.draw(st.integers(1, 4))):
        body = _mutilated(body, data)
        length = data.draw(
            st.sampled_from([length, len(head), 0, 1, len(body), len(body) + 1, 2**60])
        )
    _decode_or_refuse(OipBinary(length), bytes(body), echo_target(array))


@without_deadline
@given(st.binary(max_size=64), tensors())
def test_random_bytes_are_a_bad_request(body: bytes, array: Array) -> None:
    target = echo_target(array)
    for codec in (OipJSON(), OipBinary(0), OipBinary(len(body) // 2)):
        _decode_or_refuse(codec, body, target)


def _mutilated(body: bytearray, data: st.DataObject) -> bytearray:
    at = data.draw(st.integers(0, max(len(body) - 1, 0)))
    how = data.draw(st.sampled_from(["cut", "flip", "insert", "append", "drop"]))
    if how == "cut":
        return body[:at]
    if how == "drop":
        return body[:at] + body[at + 1 :]
    if how == "append":
        return body + data.draw(st.binary(min_size=1, max_size=9))
    if how == "insert":
        return body[:at] + data.draw(st.binary(min_size=1, max_size=3)) + body[at:]
    flipped = bytearray(body)
    if flipped:
        flipped[at] ^= data.draw(st.integers(1, 255))
    return flipped


def _decode_or_refuse(codec: OipJSON | OipBinary, body: bytes, target: Target) -> None:
    """Some broken bodies still say something that may be asked."""
    try:
        asked = codec.decode(body, target)
    except BadRequest as error:
        error.detail.encode()
    else:
        array = asked.inputs.get("x")
        assert array is None or isinstance(array, np.ndarray)


_FIELDS = (
    *("inputs", "outputs", "name", "datatype", "shape", "data", "id", "parameters"),
    *("binary_data", "binary_data_size", "timeout", "classification", "priority"),
)
_JSON_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["x", "y", "FP32", "INT64", "BYTES", "", "NaN", "é"]),
)
_JSON = st.recursive(
    _JSON_LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from([*_FIELDS]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@without_deadline
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "inputs": st.lists(
                st.fixed_dictionaries(
                    {"name": st.just("x")},
                    optional={
                        "datatype": st.sampled_from(["FP32", "INT64", 3]),
                        "shape": _JSON,
                        "data": _JSON,
                        "parameters": _JSON,
                    },
                ),
                max_size=2,
            ),
            "outputs": _JSON,
            "id": _JSON,
            "parameters": _JSON,
        },
    ),
    st.sampled_from([np.float32, np.int64]),
)
def test_any_json_is_taken_or_a_bad_request(
    body: dict[str, Any], dtype: type[np.generic]
) -> None:
    target = echo_target(np.zeros((1,), dtype))
    _decode_or_refuse(OipJSON(), json.dumps(body).encode(), target)


@pytest.mark.parametrize("length", [0, 1, 10**18])
def test_an_empty_body_is_a_bad_request(length: int) -> None:
    target = echo_target(np.zeros((2, 3), np.float32))
    _decode_or_refuse(OipBinary(length), b"", target)


def test_every_type_has_a_word_of_its_own() -> None:
    assert datatype(np.zeros(1, np.float32)) == "FP32"
    assert datatype(np.array(["a"], object)) == "BYTES"
