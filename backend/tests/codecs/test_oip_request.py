"""What a request asks for, and the forms that tensors go in, whatever the wire."""

import numpy as np
import orjson
import pytest

from app.codecs.base import Target
from app.codecs.oip_json import OipJSON
from app.codecs.oip_request import (
    OipInput,
    OipRequest,
    OipWanted,
    Parameter,
    kept_of,
    outputs_of,
    to_asked,
)
from app.codecs.oip_tensors import DATATYPES, from_raw, to_raw
from app.engine.tensors import BY_OIP
from app.engine.values import Array, Value
from app.errors import InvalidInput, InvalidRequest
from tests.codecs.oip_values import answer
from tests.codecs.targets import target

ECHO = target([("x", "float32", ["N"])], [("y", "float32", ["N"])])
MAYBE = target(
    [("x", "float32", ["N"]), ("o", "optional(float32)", None)],
    [("y", "float32", ["N"])],
)
SEQUENCE = target([("s", "seq(float32)", None)], [("y", "float32", ["N"])])
X = OipInput("x", "FP32", np.array([1, 2], np.float32))


def asked_for(outputs: list[OipWanted], array: Array, of: Target = ECHO) -> Array:
    asked = to_asked(OipRequest((X,), tuple(outputs)), of)
    (output,) = outputs_of(answer(of, asked, {"y": array}))
    return output.array


def test_a_request_becomes_what_the_predictor_asks() -> None:
    parameters: dict[str, Parameter] = {
        "timeout": 1_500_000,
        "priority": 2,
        "custom": "x",
    }
    asked = to_asked(OipRequest((X,), (), "the id", parameters), ECHO)
    assert asked.inputs == {"x": X.array}
    assert asked.outputs is None
    assert asked.timeout_s == 1.5
    assert asked.request_id is None, "an id with a space is no header"
    assert kept_of(asked).id == "the id"
    assert not asked.skip_cache


def test_no_timeout_is_no_limit() -> None:
    assert to_asked(OipRequest((X,), parameters={"timeout": 0}), ECHO).timeout_s is None


def test_outputs_keep_the_order_asked_for() -> None:
    two = target([("x", "float32", ["N"])], [("a", "int64", [1]), ("b", "int64", [1])])
    wanted = (OipWanted("b"), OipWanted("a"))
    assert to_asked(OipRequest((X,), wanted), two).outputs == ("b", "a")


def test_an_optional_input_may_be_left_out_or_sent() -> None:
    assert to_asked(OipRequest((X,)), MAYBE).inputs.keys() == {"x"}
    o = OipInput("o", "FP32", X.array)
    assert to_asked(OipRequest((X, o)), MAYBE).inputs.keys() == {"x", "o"}


def test_a_sequence_can_not_be_sent() -> None:
    with pytest.raises(InvalidInput, match=r"seq\(float32\).*use /api/v1"):
        to_asked(OipRequest((OipInput("s", "FP32", X.array),)), SEQUENCE)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"timeout": "1"}, "timeout must be a whole number"),
        ({"timeout": True}, "timeout must be a whole number"),
        ({"priority": -1}, "priority must be a whole number"),
        ({"priority": 1.5}, "priority must be a whole number"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    parameters: dict[str, Parameter], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        to_asked(OipRequest((X,), parameters=parameters), ECHO)


def top(most: int) -> list[OipWanted]:
    return [OipWanted("y", {"classification": most})]


def test_a_classification_gives_the_greatest_first() -> None:
    rows = np.array([[0.1, 0.7, 0.2], [3, 1, 2]], np.float32)
    assert asked_for(top(2), rows).tolist() == [
        ["0.700000:1", "0.200000:2"],
        ["3.000000:0", "2.000000:2"],
    ]
    assert asked_for(top(9), rows[0]).tolist() == [
        "0.700000:1",
        "0.200000:2",
        "0.100000:0",
    ]


def test_a_classification_of_integers_knows_the_least_one() -> None:
    whole = target([("x", "float32", ["N"])], [("y", "int64", ["N"])])
    values = np.array([-(2**63), 5, 2**63 - 1], np.int64)
    assert asked_for(top(3), values, whole).tolist() == [
        f"{2**63 - 1}:2",
        "5:1",
        f"{-(2**63)}:0",
    ]
    unsigned = np.array([0, 2**64 - 1], np.uint64)
    assert asked_for(top(1), unsigned, whole).tolist() == [f"{2**64 - 1}:1"]


def test_a_classification_of_text_is_refused() -> None:
    text = target([("x", "float32", ["N"])], [("y", "string", ["N"])])
    with pytest.raises(InvalidRequest, match="needs numbers"):
        asked_for(top(1), np.array(["a"], object), text)


def test_a_classification_of_nothing_is_empty() -> None:
    assert asked_for(top(2), np.empty((0, 3), np.float32)).shape == (0, 2)
    assert asked_for(top(2), np.empty((2, 0), np.float32)).shape == (2, 0)


def test_every_datatype_of_the_protocol_is_known() -> None:
    assert set(BY_OIP) <= set(DATATYPES)
    assert {"FLOAT8_E4M3FN", "INT4", "UINT4"} <= set(DATATYPES)


def test_bytes_are_little_endian_with_lengths_before_text() -> None:
    assert to_raw(np.array([1, -2], np.int16)) == b"\x01\0\xfe\xff"
    text = np.array(["é", b"\xff", ""], object)
    raw = b"\x02\0\0\0\xc3\xa9" + b"\x01\0\0\0\xff" + b"\0\0\0\0"
    assert to_raw(text) == raw
    assert from_raw("BYTES", (3,), raw, "x").tolist() == ["é", b"\xff", ""]
    assert from_raw("FP32", (2, 1), b"\0\0\x80\x3f" * 2, "x").tolist() == [[1], [1]]


def test_a_tensor_in_the_middle_of_a_body_is_aligned() -> None:
    buffer = memoryview(b"x" + np.arange(4, dtype="<f8").tobytes())[1:]
    array = from_raw("FP64", (4,), buffer, "x")
    assert array.flags.aligned
    assert array.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "says"),
    [
        ("FP32", [2], b"1234", "takes 8 bytes, got 4"),
        ("BOOL", [2], b"\x01\x02", "byte 1 is 2"),
        ("INT4", [1], b"\x08", "outside the range of INT4"),
        ("UINT4", [1], b"\x10", "outside the range of UINT4"),
        ("BYTES", [2], b"\x01\0\0\0a", "8 bytes at least"),
        ("BYTES", [1], b"\x09\0\0\0a", "element 0 runs past the end"),
        ("BYTES", [1], b"\0\0\0\0a", "1 bytes are left over"),
        ("BYTES", [2], b"\x01\0\0\0abcd", "element 1 runs past the end"),
        ("BYTES", [2**40], b"", "at least"),
        ("FP99", [1], b"", "unknown datatype"),
        ("FP32", [-1], b"", "0 or greater"),
        ("FP32", [2**62, 4], b"", "too large"),
    ],
)
def test_broken_bytes_are_named(
    datatype: str, shape: list[int], raw: bytes, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        from_raw(datatype, shape, raw, "x")


def decoded(value: str, datatype: str, shape: list[int], dtype: str) -> Value:
    body = (
        f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},'
        f'"data":{value}}}]}}'
    )
    of = target([("x", dtype, None)], [("y", dtype, None)])
    return OipJSON().decode(body.encode(), of).inputs["x"]


def test_null_is_nan_for_floats_alone() -> None:
    array = decoded("[[null, 1], [2, null]]", "FP16", [4], "float16")
    assert str(array) == "[nan  1.  2. nan]"
    with pytest.raises(InvalidInput, match="null"):
        decoded("[null]", "INT8", [1], "int8")
    with pytest.raises(InvalidInput, match=r"data\[0\].*got null"):
        decoded("[null]", "BYTES", [1], "string")


def test_bare_tokens_are_read_where_json_forbids_them() -> None:
    array = decoded("[NaN, -Infinity, Infinity, 1]", "FP64", [4], "float64")
    assert str(array) == "[ nan -inf  inf   1.]"
    with pytest.raises(InvalidInput, match="expected a string"):
        decoded("[NaN]", "BYTES", [1], "string")


def test_booleans_come_as_words_or_as_numbers() -> None:
    array = decoded("[true, 0, 1]", "BOOL", [3], "bool")
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [True, False, True]


def test_integers_beyond_2_to_the_53_are_exact() -> None:
    array = decoded(f"[{2**64 - 1}, 0]", "UINT64", [2], "uint64")
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [2**64 - 1, 0]


def test_an_answer_names_its_model_and_writes_flat_data() -> None:
    asked = to_asked(OipRequest((X,), id="7"), ECHO)
    array = np.array([[1, -0.0], [np.nan, 1e-45]], np.float32)
    encoded = OipJSON().encode(answer(ECHO, asked, {"y": array}))
    assert orjson.loads(encoded.body) == {
        "model_name": "some",
        "model_version": "1.0.0",
        "id": "7",
        "outputs": [
            {
                "name": "y",
                "datatype": "FP32",
                "shape": [2, 2],
                "data": [1.0, -0.0, "NaN", 1e-45],
            }
        ],
    }
