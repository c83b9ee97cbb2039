"""One number per row of features, for callers that want no tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from app.codecs.base import Answer, Asked, Encoded, ScoreRule, Target
from app.codecs.features import Row, build_table
from app.codecs.json_values import OPTIONS, rows_json
from app.codecs.predict_json import parse_object, rows_of
from app.engine.values import Array, Value
from app.errors import InvalidRequest

# Probabilities of a row add up to 1; float16 and a thousand classes stay within this.
SUM_TOLERANCE = 1e-2


class ScoreJSON:
    """`{"features": {…}}` to `{score, confidence, …}`."""

    def decode(self, body: bytes, target: Target) -> Asked:
        data = parse_object(body)
        if data.keys() != {"features"} or not isinstance(data["features"], dict):
            raise InvalidRequest(
                'The body must be {"features": {name: value, …}} and nothing else.'
            )
        return _asked([data["features"]], target, "features")

    def encode(self, answer: Answer) -> Encoded:
        body = _scores(answer)[0] | _about(answer)
        return Encoded(orjson.dumps(body, option=OPTIONS))


class ScoreBatchJSON:
    """An object with one key, any name, whose value is a list of features."""

    def decode(self, body: bytes, target: Target) -> Asked:
        data = parse_object(body)
        if len(data) != 1:
            raise InvalidRequest(
                "The body must be an object with exactly one key whose value is a "
                f'list of features, such as {{"rows": [{{…}}, …]}}; found '
                f"{len(data)} keys."
            )
        key = next(iter(data))
        rows = rows_of(data[key], key)
        return _asked(rows, target, key)

    def encode(self, answer: Answer) -> Encoded:
        body = {"scores": _scores(answer)} | _about(answer)
        return Encoded(orjson.dumps(body, option=OPTIONS))


def _asked(rows: Sequence[Row], target: Target, place: str) -> Asked:
    def where(at: int) -> str:
        return place if place == "features" else f"{place}[{at}]"

    table = build_table(rows, target, where)
    return Asked(table.tensors, rows=len(rows), ignored=table.ignored)


def _about(answer: Answer) -> dict[str, Any]:
    target = answer.target
    about: dict[str, Any] = {
        "model_id": target.version_id,
        "model_name": target.name,
        "model_version": target.version,
        "cached": answer.cached,
    }
    if answer.asked.ignored:
        about["ignored_features"] = answer.asked.ignored
    return about


def _scores(answer: Answer) -> list[dict[str, Any]]:
    count = answer.asked.rows or 0
    probabilities = _probabilities(answer.outputs, count)
    rule = answer.target.score
    if rule is not None:
        scores = _by_rule(answer.outputs, rule, count)
    elif probabilities is None:
        scores = _first_number(answer.outputs, count)
    elif probabilities.shape[1] == 2:
        scores = probabilities[:, 1]
    else:
        scores = probabilities.max(axis=1)
    rows = [{"score": score} for score in rows_json(scores)]
    if probabilities is not None:
        for row, top in zip(rows, rows_json(probabilities.max(axis=1)), strict=True):
            row["confidence"] = top
    return rows


def _probabilities(outputs: Mapping[str, Value], count: int) -> Array | None:
    """`[count, classes]` of the first output that holds probabilities, if one does."""
    for value in outputs.values():
        matrix = _matrix(value, count)
        if matrix is not None and _adds_up(matrix):
            return matrix
    return None


def _matrix(value: Value, count: int) -> Array | None:
    if isinstance(value, np.ndarray):
        is_matrix = value.ndim == 2 and value.shape[0] == count and value.shape[1] > 1
        return value if is_matrix and "float" in value.dtype.name else None
    if isinstance(value, list) and len(value) == count:
        return _zipmap(value)
    return None


def _zipmap(value: list[Value]) -> Array | None:
    """`[rows, classes]` of a list of maps from every class to its probability."""
    rows = [list(row.values()) for row in value if isinstance(row, dict)]
    widths = {len(row) for row in rows}
    if len(rows) != len(value) or len(widths) != 1 or widths <= {0, 1}:
        return None
    numbers = np.array(rows)
    return numbers.astype(np.float32) if numbers.dtype.kind == "f" else None


def _adds_up(matrix: Array) -> bool:
    numbers = matrix.astype(np.float64)
    in_range = (numbers >= 0) & (numbers <= 1 + SUM_TOLERANCE)
    sums = np.abs(numbers.sum(axis=1) - 1) <= SUM_TOLERANCE
    return bool(in_range.all() and sums.all())


def _by_rule(outputs: Mapping[str, Value], rule: ScoreRule, count: int) -> Array:
    value = outputs[rule.output]
    matrix = _matrix(value, count)
    if matrix is None:
        matrix = _numbers(value, count)
    if matrix is None or rule.index >= matrix.shape[1]:
        raise InvalidRequest(
            f'The score is set to index {rule.index} of output "{rule.output}", which '
            f"has no such number in a row; mend model_metadata.score of the model."
        )
    return np.ascontiguousarray(matrix[:, rule.index])


def _first_number(outputs: Mapping[str, Value], count: int) -> Array:
    for value in outputs.values():
        numbers = _numbers(value, count)
        if numbers is not None and numbers.shape[1]:
            return np.ascontiguousarray(numbers[:, 0])
    raise InvalidRequest(
        "This model has no numeric output with a value for every row, so it gives no "
        "score; use its predict call."
    )


def _numbers(value: Value, count: int) -> Array | None:
    """A numeric output as `[count, numbers per row]`."""
    if not isinstance(value, np.ndarray) or value.dtype == object:
        return None
    if value.ndim == 0 or value.shape[0] != count:
        return None
    return value.reshape(count, -1)
