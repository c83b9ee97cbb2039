from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pytest

from app.codecs.base import Answer, Asked, ScoreRule, Target
from app.codecs.score_json import ScoreBatchJSON, ScoreJSON
from app.engine.values import Value
from app.errors import InvalidRequest
from tests.codecs.targets import MATRIX, target

LABELS = np.array([1, 0])
BINARY = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
MULTI = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], np.float32)
ROW = {"age": 1, "tags": [1, 2]}


def scores(
    outputs: Mapping[str, Value], rule: ScoreRule | None = None
) -> list[dict[str, Any]]:
    to = target([], [], score=rule)
    answer = Answer(to, Asked({}, rows=2), outputs, 0.1, False)
    body = orjson.loads(ScoreBatchJSON().encode(answer).body)
    rows: list[dict[str, Any]] = body["scores"]
    return rows


def test_two_classes_score_the_second_ones_probability() -> None:
    assert scores({"label": LABELS, "probabilities": BINARY}) == [
        {"score": 0.75, "confidence": 0.75},
        {"score": 0.5, "confidence": 0.5},
    ]


def test_more_classes_score_the_top_one() -> None:
    assert scores({"label": LABELS, "probabilities": MULTI}) == [
        {"score": 0.7, "confidence": 0.7},
        {"score": 0.6, "confidence": 0.6},
    ]


def test_a_zipmap_scores_as_its_probabilities() -> None:
    maps: Any = [{0: 0.25, 1: 0.75}, {0: 0.5, 1: 0.5}]
    assert scores({"label": LABELS, "zip": maps})[0] == {
        "score": 0.75,
        "confidence": 0.75,
    }


def test_a_regression_scores_its_number_without_confidence() -> None:
    value = np.array([[152.5], [np.nan]], np.float32)
    names = np.array(["a", "b"], object)
    assert scores({"names": names, "variable": value}) == [
        {"score": 152.5},
        {"score": "NaN"},
    ]


def test_two_numbers_that_are_no_probabilities_are_a_regression() -> None:
    pair = np.array([[3.0, 4.0], [5.0, 6.0]], np.float32)
    assert scores({"y": pair}) == [{"score": 3.0}, {"score": 5.0}]


def test_a_rule_overrides() -> None:
    outputs: dict[str, Value] = {"label": LABELS, "probabilities": MULTI}
    assert scores(outputs, ScoreRule("probabilities", 1)) == [
        {"score": 0.2, "confidence": 0.7},
        {"score": 0.3, "confidence": 0.6},
    ]
    assert scores(outputs, ScoreRule("label", 0))[0]["score"] == 1


def test_a_rule_beyond_the_output_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="index 7"):
        scores({"p": MULTI}, ScoreRule("p", 7))


def test_a_model_without_numbers_gives_no_score() -> None:
    with pytest.raises(InvalidRequest, match="no numeric output"):
        scores({"names": np.array(["a", "b"], object)})


@pytest.mark.parametrize("key", ["rows", "decks", "anything"])
def test_a_batch_takes_any_one_key(key: str) -> None:
    asked = ScoreBatchJSON().decode(orjson.dumps({key: [ROW, ROW]}), MATRIX)
    assert asked.rows == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "found 0 keys"),
        ({"rows": [ROW], "more": 1}, "found 2 keys"),
        ({"rows": ROW}, "rows must be a list"),
        ({"rows": []}, "rows must be a list of at least one"),
        ({"rows": [3]}, r"rows\[0\] must be an object"),
    ],
)
def test_a_batch_of_another_form_is_refused(body: object, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        ScoreBatchJSON().decode(orjson.dumps(body), MATRIX)


@pytest.mark.parametrize("body", [{}, {"features": [ROW]}, {"features": ROW, "x": 1}])
def test_a_single_score_takes_features_and_nothing_else(body: object) -> None:
    with pytest.raises(InvalidRequest, match="and nothing else"):
        ScoreJSON().decode(orjson.dumps(body), MATRIX)


def test_a_single_score_tells_the_model_and_what_it_ignored() -> None:
    to: Target = MATRIX
    asked = ScoreJSON().decode(orjson.dumps({"features": ROW | {"color": "red"}}), to)
    answer = Answer(to, asked, {"y": BINARY[:1]}, 0.1, True)
    assert orjson.loads(ScoreJSON().encode(answer).body) == {
        "score": 0.75,
        "confidence": 0.75,
        "model_id": "id-1",
        "model_name": "some",
        "model_version": "1.0.0",
        "cached": True,
        "ignored_features": ["color"],
    }
