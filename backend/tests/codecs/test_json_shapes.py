from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.codecs.base import Answer, Asked, Target
from app.codecs.predict_json import PredictJSON
from app.engine.tensors import ELEMENT_TYPES, ElementType
from app.engine.values import Array, Value
from app.errors import InvalidInput, InvalidRequest
from conformance.compare import same
from conformance.json_forms import from_json, to_json
from tests.codecs.targets import target

shapes = st.lists(st.integers(0, 3), max_size=5).map(tuple)


def any_shape(dtype: str) -> Target:
    return target([("x", dtype, None)], [("y", dtype, None)])


def decode(value: object, dtype: str = "float32") -> Value:
    body = orjson.dumps({"input_data": {"x": value}})
    return PredictJSON().decode(body, any_shape(dtype)).inputs["x"]


def answer_to(outputs: dict[str, Value], signature: Target) -> dict[str, Any]:
    answer = Answer(signature, Asked({}), outputs, 1.0, False)
    body: dict[str, Any] = orjson.loads(PredictJSON().encode(answer).body)
    return body


def of_shape(element: ElementType, shape: tuple[int, ...]) -> Array:
    array = np.resize(np.array([1, 0, 1]), shape)
    return (
        array.astype(str).astype(object)
        if element.is_string
        else array.astype(element.dtype)
    )


@given(st.sampled_from(ELEMENT_TYPES), shapes)
def test_every_type_and_shape_passes_both_ways(
    element: ElementType, shape: tuple[int, ...]
) -> None:
    if element.name == "float8_e8m0fnu":  # It has no 0.
        array = np.ones(shape).astype(element.dtype)
    else:
        array = of_shape(element, shape)
    sent = decode(to_json(array), element.name)
    assert same(sent, array)

    signature = any_shape(element.name)
    said = answer_to({"y": array}, signature)
    type_ = signature.signature.output("y").type
    shape_said = said.get("output_shapes", {}).get("y")
    assert same(from_json(said["output_data"]["y"], type_, shape_said), array)


def test_answers_name_only_shapes_that_lists_cannot_say() -> None:
    signature = target(
        [],
        [
            ("plain", "float32", None),
            ("gone", "float32", None),
            ("s", "seq(int64)", None),
        ],
    )
    outputs: dict[str, Value] = {
        "plain": np.zeros((2, 0), np.float32),
        "gone": np.zeros((0, 4), np.float32),
        "s": [np.zeros((0, 2), np.int64), np.ones(1, np.int64)],
    }
    said = answer_to(outputs, signature)
    assert said["output_data"] == {"plain": [[], []], "gone": [], "s": [[], [1]]}
    assert said["output_shapes"] == {"gone": [0, 4], "s": [[0, 2], [1]]}

    said = answer_to({"plain": np.zeros((2, 1), np.float32)}, signature)
    assert "output_shapes" not in said


def test_data_beside_its_shape_may_be_flat_or_nested() -> None:
    wanted = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    for data in (wanted.ravel().tolist(), wanted.tolist()):
        assert same(decode({"shape": [2, 3], "data": data}), wanted)
    assert same(decode({"shape": [], "data": [7]}), np.array(7, np.float32))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"shape": [2, 2], "data": [1, 2, 3]}, r"holds 4 elements, data has 3"),
        ({"shape": [3, 1], "data": [[1, 2, 3]]}, r"nested as \[1, 3\]"),
        ({"shape": [-1, 0], "data": []}, r"its shape holds -1"),
        ({"shape": "2", "data": []}, r"shape must be a list"),
        ({"shape": [1] * 65, "data": [1]}, r"65 dimensions"),
        ({"shape": [2**62, 4, 0], "data": []}, r"too large"),
        ({"shape": [2], "data": [1, None]}, r"x\.data\[1\]: expected a number"),
        ({"shape": [2]}, r"expected a number, got an object"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(value: object, message: str) -> None:
    with pytest.raises((InvalidInput, InvalidRequest), match=message):
        decode(value)
