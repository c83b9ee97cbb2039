"""What may be said about a version."""

from typing import Any

import pytest

from app.engine.signature import Signature
from app.errors import InvalidField
from app.services.metadata import (
    check_feature_names,
    check_metadata,
    check_score,
    check_text,
    parse_object,
    printable,
)


def _signature(
    *inputs: tuple[str, str, list[Any] | None],
    outputs: tuple[tuple[str, str, list[Any] | None], ...] = (),
) -> Signature:
    def specs(values: tuple[tuple[str, str, list[Any] | None], ...]) -> list[Any]:
        return [{"name": n, "dtype": d, "shape": s} for n, d, s in values]

    return Signature.from_json(specs(inputs), specs(outputs))


MATRIX = _signature(("x", "float32", ["N", 3]), outputs=(("y", "float32", ["N", 2]),))
COLUMNS = _signature(("age", "int64", [None, 1]), ("city", "string", [None]))
NAMES = ["a", "b", "c"]


def _nested(depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(depth):
        data = {"x": data}
    return data


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": [1, 2.5, None, True, "ü", {"b": []}]},
        {"big": 2**64 - 1, "small": -(2**63)},
        {"emoji": "😀"},
        {"score": None},
        {"score": {"output": "y"}},
        {"score": {"output": "y", "index": 1}},
        _nested(30),
    ],
)
def test_strict_json_is_taken(metadata: dict[str, Any]) -> None:
    assert check_metadata("metadata", metadata) == metadata


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": [float("nan")]}, r"metadata\.a\.0 is nan"),
        ({"a": float("-inf")}, r"metadata\.a is -inf"),
        ({"a": 2**64}, "beyond 64 bits"),
        ({"a": "x\0y"}, r"metadata\.a holds a NUL"),
        ({"a": "\ud800"}, "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        ({"a\0": 1}, "NUL"),
        (_nested(40), "deeper than 32"),
        ({"a": "x" * 70_000}, "65536 are the most"),
        ({"score": "y"}, "metadata.score must be"),
        ({"score": {"index": 1}}, "metadata.score must be"),
        ({"score": {"output": "y", "index": -1}}, "0 or greater"),
        ({"score": {"output": "y", "index": True}}, "0 or greater"),
        ({"score": {"output": "y", "indx": 1}}, "metadata.score must be"),
    ],
)
def test_what_json_or_a_database_can_not_hold_is_refused(
    metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidField, match=message) as caught:
        check_metadata("metadata", metadata)
    caught.value.detail.encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        '{"a": NaN}',
        '{"a": 1e999}',
        "[" * 100_000,
        '{"a": "\\u0000"}',
    ],
)
def test_a_form_field_must_be_a_strict_json_object(text: str) -> None:
    with pytest.raises(InvalidField, match="metadata"):
        check_metadata("metadata", parse_object("metadata", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ' + "9" * 5000 + "}", "metadata holds an integer beyond 64 bits"),
        ("[" * 100_000, "metadata is nested deeper than 32 levels"),
        ('{"a":' * 100_000, "metadata is nested deeper than 32 levels"),
    ],
)
def test_what_is_wrong_with_a_form_field_is_told_in_our_words(
    text: str, message: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_object("metadata", text)
    assert message in caught.value.detail
    assert not {"recursion", "conversion", "sys."} & set(caught.value.detail.split())


@pytest.mark.parametrize("text", ["x" * 11, "a\0b", "\udfff"])
def test_text_that_can_not_be_kept_is_refused(text: str) -> None:
    with pytest.raises(InvalidField, match="description"):
        check_text("description", text, max_letters=10)


def test_feature_names_fit_the_width_of_the_only_input() -> None:
    assert check_feature_names(NAMES, MATRIX) == NAMES
    free = _signature(("x", "float32", [None, None]))
    assert check_feature_names(NAMES, free) == NAMES


def test_feature_names_are_the_inputs_of_a_model_of_columns() -> None:
    assert check_feature_names(["city", "age"], COLUMNS) == ["city", "age"]
    with pytest.raises(InvalidField, match='"age", "city"'):
        check_feature_names(["city"], COLUMNS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], r'2 names, but input "x" is float32 \[N, 3\]: give 3'),
        (["a", "b", "b"], '"b" twice'),
        (["a", "b", 3], r"feature_names\[2\]"),
        (["a", "b", ""], r"feature_names\[2\]"),
        (["a", "b", "c\0"], "NUL"),
        ([], "list of strings"),
        ("abc", "list of strings"),
        (None, "list of strings"),
        ({"a": 1}, "list of strings"),
    ],
)
def test_other_feature_names_are_refused(names: object, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        check_feature_names(names, MATRIX)


@pytest.mark.parametrize(
    "signature",
    [
        _signature(("x", "float32", [1, 3, 8, 8])),
        _signature(("x", "float32", None)),
        _signature(("x", "float32", ["N", 3]), ("y", "float32", ["N", 3])),
        _signature(),
    ],
)
def test_a_model_that_takes_no_rows_takes_no_feature_names(
    signature: Signature,
) -> None:
    with pytest.raises(InvalidField, match="can't be set"):
        check_feature_names(NAMES, signature)


def test_a_score_rule_names_a_number_that_the_model_gives() -> None:
    check_score({}, MATRIX)
    check_score({"score": {"output": "y", "index": 1}}, MATRIX)
    with pytest.raises(InvalidField, match='but the outputs are "y"'):
        check_score({"score": {"output": "z"}}, MATRIX)
    with pytest.raises(InvalidField, match="use 0 to 1"):
        check_score({"score": {"output": "y", "index": 2}}, MATRIX)


@pytest.mark.parametrize(
    ("dtype", "shape", "index", "message"),
    [
        ("float32", ["N", 0], 0, "holds no number for a row"),
        ("float32", [], 0, "holds no number for a row"),
        ("string", ["N"], 0, "holds no number for a row"),
        ("float32", ["N"], 1, "use 0$"),
        ("float32", ["N", 1], 7, "use 0$"),
        ("int64", ["N", 2, 3], 6, "use 0 to 5"),
    ],
)
def test_a_score_that_no_row_can_have_is_refused(
    dtype: str, shape: list[Any], index: int, message: str
) -> None:
    signature = _signature(outputs=(("y", dtype, shape),))
    with pytest.raises(InvalidField, match=message):
        check_score({"score": {"output": "y", "index": index}}, signature)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float32", ["N", None]),
        ("float32", None),
        ("float32", ["N", 2, "M"]),
        ("seq(map(int64,float32))", None),
    ],
)
def test_a_score_of_an_unknown_width_is_taken(dtype: str, shape: Any) -> None:
    signature = _signature(outputs=(("y", dtype, shape),))
    check_score({"score": {"output": "y", "index": 99}}, signature)


def test_a_foreign_message_can_always_be_kept() -> None:
    assert printable("a\0b\ud800") == "ab?"
