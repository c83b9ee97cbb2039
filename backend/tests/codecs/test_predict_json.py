from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pytest

from app.codecs.base import Answer, Asked, Target
from app.codecs.predict_json import PredictJSON
from app.engine.values import Value
from app.errors import InvalidInput, InvalidJSON, InvalidRequest
from tests.codecs.targets import COLUMNS, MATRIX, target

CODEC = PredictJSON()
NO_INPUT = target([], [("y", "int64", [])])


def decode(body: object, to: Target = MATRIX) -> Asked:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return CODEC.decode(raw, to)


def encode(
    outputs: Mapping[str, Value], to: Target, asked: Asked | None = None
) -> dict[str, Any]:
    answer = Answer(
        target=to,
        asked=asked or Asked(inputs={}),
        outputs=outputs,
        inference_time_ms=0.25,
        cached=False,
    )
    data: dict[str, Any] = orjson.loads(CODEC.encode(answer).body)
    return data


def test_input_data_becomes_a_tensor_for_every_input() -> None:
    asked = decode({"input_data": {"x": [[1, 2, 3]]}, "skip_cache": True})
    tensor = asked.inputs["x"]
    assert isinstance(tensor, np.ndarray)
    assert tensor.dtype == np.dtype(np.float32)
    assert tensor.shape == (1, 3)
    assert asked.skip_cache
    assert asked.rows is None


def test_an_empty_list_takes_the_models_further_dims() -> None:
    tensor = decode({"input_data": {"x": []}}).inputs["x"]
    assert isinstance(tensor, np.ndarray)
    assert tensor.shape == (0, 3)


def test_features_are_one_row() -> None:
    asked = decode({"features": {"age": 1, "tags": [2, 3], "extra": 1}})
    assert asked.rows == 1
    assert asked.ignored == ("extra",)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", InvalidJSON, "no valid JSON"),
        (b"{", InvalidJSON, "no valid JSON"),
        (b"\xff", InvalidJSON, "no valid JSON"),
        (b'{"input_data": {"x": [[NaN]]}}', InvalidJSON, 'strings "NaN"'),
        (b"[" * 2000, InvalidJSON, "no valid JSON"),
        (b"[1]", InvalidRequest, "must be a JSON object, got a list"),
        ({}, InvalidRequest, "exactly one of input_data, features and rows"),
        ({"features": {}, "rows": []}, InvalidRequest, "found features and rows"),
        ({"rows": []}, InvalidRequest, "rows must be a list of at least one object"),
        ({"rows": {}}, InvalidRequest, "rows must be a list"),
        ({"rows": [1]}, InvalidRequest, r"rows\[0\] must be an object"),
        ({"features": [1]}, InvalidRequest, "features must be an object"),
        ({"input_data": [[1]]}, InvalidRequest, r"for every input \(x\), got a list"),
        ({"input_data": {"z": 1}}, InvalidInput, 'no input "z"; it takes x'),
        ({"input_data": {"x": None}}, InvalidInput, "input_data.x: expected a number"),
        (
            {"input_data": {"x": [[1, 2, 3]]}, "output": ["y"]},
            InvalidRequest,
            "unknown fields: output",
        ),
        (
            {"input_data": {"x": [[1, 2, 3]]}, "outputs": ["q"]},
            InvalidRequest,
            'no output "q"; it has y',
        ),
        (
            {"input_data": {"x": [[1, 2, 3]]}, "outputs": "y"},
            InvalidRequest,
            "outputs must be a list",
        ),
        (
            {"input_data": {"x": [[1, 2, 3]]}, "outputs": ["y", "y"]},
            InvalidRequest,
            "twice",
        ),
        (
            {"input_data": {"x": [[1, 2, 3]]}, "skip_cache": 1},
            InvalidRequest,
            "skip_cache must be true or false",
        ),
        (
            {"input_data": {"x": [[1, 2, 3]]}, "request_id": "a\nb"},
            InvalidRequest,
            "request_id must be a string",
        ),
    ],
)
def test_a_body_that_does_not_fit_says_what_is_wanted(
    body: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        decode(body)


def test_the_answer_holds_the_tensors_and_the_rows() -> None:
    asked = decode(
        {
            "rows": [
                {"age": 1, "city": "Bern", "visits": 1, "zip": 1},
                {"age": 2, "city": "Oslo", "visits": 2},
            ]
        },
        COLUMNS,
    )
    to = target(
        [],
        [
            ("label", "int64", [None]),
            ("value", "float32", [None, 1]),
            ("wide", "float32", [None, 2]),
            ("total", "float64", []),
            ("zip", "seq(map(string,float32))", None),
        ],
    )
    outputs: dict[str, Any] = {
        "label": np.array([3, 4]),
        "value": np.array([[0.1], [np.nan]], np.float32),
        "wide": np.array([[0.1, 0.2], [0.3, 0.4]], np.float32),
        "total": np.array(2.5),
        "zip": [
            {"a": float(np.float32(0.1)), "b": 0.5},
            {"a": float("nan"), "b": 1.0},
        ],
    }
    body = encode(outputs, to, asked)
    assert body["output_data"] == {
        "label": [3, 4],
        "value": [[0.1], ["NaN"]],
        "wide": [[0.1, 0.2], [0.3, 0.4]],
        "total": 2.5,
        "zip": [{"a": 0.1, "b": 0.5}, {"a": "NaN", "b": 1.0}],
    }
    assert body["predictions"] == [
        {"label": 3, "value": 0.1, "wide": [0.1, 0.2], "zip": {"a": 0.1, "b": 0.5}},
        {"label": 4, "value": "NaN", "wide": [0.3, 0.4], "zip": {"a": "NaN", "b": 1.0}},
    ]
    assert body["ignored_features"] == ["zip"]


def test_sequences_maps_and_optionals_are_lists_objects_and_null() -> None:
    to = target(
        [],
        [
            ("seq", "seq(float32)", None),
            ("map", "map(int64,float32)", None),
            ("none", "optional(float32)", None),
            ("some", "optional(int64)", None),
        ],
    )
    outputs: dict[str, Any] = {
        "seq": [np.array([1, 2], np.float32), np.array(0.1, np.float32)],
        "map": {7: float(np.float32(0.7))},
        "none": None,
        "some": np.array([1]),
    }
    assert encode(outputs, to)["output_data"] == {
        "seq": [[1.0, 2.0], 0.1],
        "map": {"7": 0.7},
        "none": None,
        "some": [1],
    }


def test_arrays_in_any_memory_order_are_written_row_by_row() -> None:
    to = target([], [("y", "float32", [2, 3])])
    array = np.arange(6, dtype=np.float32).reshape(3, 2).T
    assert encode({"y": array}, to)["output_data"]["y"] == array.tolist()


def test_sequence_and_optional_inputs_are_taken() -> None:
    to = target(
        [("s", "seq(float32)", None), ("o", "optional(int64)", None)],
        [("y", "float32", [])],
    )
    asked = decode({"input_data": {"s": [[1], [2, 3]], "o": None}}, to)
    sequence = asked.inputs["s"]
    assert isinstance(sequence, list)
    assert [np.asarray(item).tolist() for item in sequence] == [[1.0], [2.0, 3.0]]
    assert asked.inputs["o"] is None
