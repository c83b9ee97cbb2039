"""Targets to decode for, written as `name dtype shape` lines."""

from app.codecs.base import ScoreRule, Target
from app.engine.signature import Signature, ValueSpec

Line = tuple[str, str, list[int | str | None] | None]


def spec(line: Line) -> ValueSpec:
    name, dtype, shape = line
    return ValueSpec.from_json({"name": name, "dtype": dtype, "shape": shape})


def target(
    inputs: list[Line],
    outputs: list[Line],
    *,
    features: tuple[str, ...] | None = None,
    score: ScoreRule | None = None,
) -> Target:
    signature = Signature(tuple(map(spec, inputs)), tuple(map(spec, outputs)))
    return Target("id-1", "some", "1.0.0", signature, features, score)


MATRIX = target(
    [("x", "float32", ["N", 3])],
    [("y", "float32", ["N", 1])],
    features=("age", "tags[0]", "tags[1]"),
)
COLUMNS = target(
    [
        ("age", "float32", [None, 1]),
        ("city", "string", [None, 1]),
        ("visits", "int64", [None]),
    ],
    [("label", "int64", [None])],
)
