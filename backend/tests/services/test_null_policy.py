from typing import Any

import pytest

from app.codecs.base import NullPolicy
from app.engine.signature import Signature
from app.errors import InvalidField
from app.services.metadata import check_metadata, check_nulls, null_policy
from tests.codecs.targets import COLUMNS, MATRIX, target


def test_without_a_policy_there_is_none() -> None:
    assert null_policy({}) is None
    assert null_policy({"nulls": None}) is None


def test_a_policy_is_read_as_it_was_checked() -> None:
    assert null_policy({"nulls": {}}) == NullPolicy()
    nulls = {"policy": "nan", "defaults": {"age": 1.5, "city": ""}}
    assert check_metadata("metadata", {"nulls": nulls})
    assert null_policy({"nulls": nulls}) == NullPolicy(True, {"age": 1.5, "city": ""})


@pytest.mark.parametrize(
    ("nulls", "message"),
    [
        ("nan", r"metadata.nulls must be"),
        ({"polcy": "nan"}, r"metadata.nulls must be"),
        ({"policy": "drop"}, r'metadata.nulls.policy must be "error" or "nan"'),
        ({"policy": []}, r"metadata.nulls.policy must be"),
        ({"defaults": [1]}, r"metadata.nulls.defaults must be an object"),
        ({"defaults": {"age": None}}, r"metadata.nulls.defaults.age must be a string"),
        ({"defaults": {"age": [1]}}, r"metadata.nulls.defaults.age must be a string"),
    ],
)
def test_a_policy_that_says_nothing_clear_is_refused(nulls: Any, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        check_metadata("metadata", {"nulls": nulls})


@pytest.mark.parametrize(
    ("signature", "defaults", "message"),
    [
        (COLUMNS.signature, {"town": "x"}, r"a row of the model has no such feature"),
        (COLUMNS.signature, {"city": 5}, r"defaults.city: .*expected a string, got 5"),
        (COLUMNS.signature, {"visits": 1.5}, r"expected a whole number, got 1.5"),
        (MATRIX.signature, {"age": "x"}, r"defaults.age: .*expected a number"),
        (target([("x", "float32", [])], []).signature, {"x": 1}, r"no such feature"),
    ],
)
def test_defaults_are_values_that_the_model_takes(
    signature: Signature, defaults: dict[str, Any], message: str
) -> None:
    check_nulls({"nulls": {"defaults": {}}}, signature)
    with pytest.raises(InvalidField, match=message):
        check_nulls({"nulls": {"defaults": defaults}}, signature)


def test_defaults_that_fit_are_taken() -> None:
    defaults = {"age": "NaN", "city": "", "visits": True}
    check_nulls({"nulls": {"defaults": defaults}}, COLUMNS.signature)
    check_nulls({"nulls": {"defaults": {"age": 1}}}, MATRIX.signature)
