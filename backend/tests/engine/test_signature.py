from typing import Any

import numpy as np
import pytest

from app.engine.signature import (
    Signature,
    ValueSpec,
    check_inputs,
    describe,
    parse_type,
)
from app.errors import InvalidInput


def spec(name: str, kind: str, shape: tuple[int | str | None, ...] | None) -> ValueSpec:
    return ValueSpec(name, parse_type(kind), shape)


PLAIN = Signature((spec("x", "tensor(float)", ("N", 4)),), ())


def complaint(signature: Signature, inputs: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as caught:
        check_inputs(signature, inputs)
    return caught.value.detail


@pytest.mark.parametrize(
    ("onnx", "contract"),
    [
        ("tensor(float)", "float32"),
        ("tensor(double)", "float64"),
        ("tensor(float8e4m3fn)", "float8_e4m3fn"),
        ("seq(tensor(int64))", "seq(int64)"),
        ("seq(map(int64,tensor(float)))", "seq(map(int64,float32))"),
        ("map(string,tensor(double))", "map(string,float64)"),
        ("optional(seq(tensor(string)))", "optional(seq(string))"),
    ],
)
def test_a_type_is_read_in_both_spellings(onnx: str, contract: str) -> None:
    assert str(parse_type(onnx)) == contract
    assert parse_type(contract) == parse_type(onnx)


@pytest.mark.parametrize("text", ["", "tensor(complex64)", "sparse_tensor(float)", "x"])
def test_unknown_types_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not supported"):
        parse_type(text)


def test_a_signature_comes_back_from_its_json() -> None:
    signature = Signature(
        (spec("x", "tensor(float)", ("N", None, 3)), spec("s", "tensor(string)", ())),
        (spec("p", "seq(map(int64,tensor(float)))", None),),
    )
    inputs = [each.as_json() for each in signature.inputs]
    outputs = [each.as_json() for each in signature.outputs]
    assert inputs[0] == {"name": "x", "dtype": "float32", "shape": ["N", None, 3]}
    assert outputs[0]["dtype"] == "seq(map(int64,float32))"
    assert Signature.from_json(inputs, outputs) == signature


@pytest.mark.parametrize(
    ("value_spec", "text"),
    [
        (spec("x", "tensor(float)", ("N", None, 4)), "float32 [N, ?, 4]"),
        (spec("x", "tensor(float)", ()), "float32 []"),
        (spec("x", "tensor(bool)", None), "bool of any shape"),
        (spec("x", "seq(tensor(int8))", None), "seq(int8)"),
    ],
)
def test_a_spec_is_described_for_messages(value_spec: ValueSpec, text: str) -> None:
    assert describe(value_spec) == text


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_fitting_tensor_passes(rows: int) -> None:
    check_inputs(PLAIN, {"x": np.zeros((rows, 4), np.float32)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"x": np.zeros((2, 3), np.int64)},
            'input "x": expected float32 [N, 4], got int64 [2, 3]',
        ),
        (
            {"x": np.zeros((2, 3), np.float32)},
            'input "x": expected float32 [N, 4], got float32 [2, 3]',
        ),
        (
            {"x": np.zeros(4, np.float32)},
            'input "x": expected float32 [N, 4], got float32 [4]',
        ),
        (
            {"x": np.zeros((1, 4), ">f4")},
            'input "x": expected float32 [N, 4], got byte-swapped float32 [1, 4]',
        ),
        ({"x": [1.0]}, 'input "x": expected float32 [N, 4], got a list'),
        ({"x": None}, 'input "x": expected float32 [N, 4], got null'),
        ({"x": 1.0}, 'input "x": expected float32 [N, 4], got a value of type float'),
        ({}, 'input "x" is missing; the model wants float32 [N, 4]'),
        ({"z": None}, 'the model has no input "z"; its inputs are "x"'),
    ],
)
def test_the_message_names_what_came_and_what_is_wanted(
    inputs: dict[str, Any], message: str
) -> None:
    assert complaint(PLAIN, inputs) == message


def test_symbols_may_disagree_between_inputs() -> None:
    signature = Signature(
        (spec("a", "tensor(float)", ("N",)), spec("b", "tensor(float)", ("N",))), ()
    )
    check_inputs(
        signature, {"a": np.zeros(1, np.float32), "b": np.zeros(9, np.float32)}
    )


@pytest.mark.parametrize("rows", ["N", None])
def test_columns_of_one_table_have_equally_many_rows(rows: str | None) -> None:
    signature = Signature(
        (
            spec("city", "tensor(string)", (rows, 1)),
            spec("age", "tensor(int8)", (rows, 1)),
        ),
        (),
    )
    city, age = np.array([["a"], ["b"]]), np.zeros((2, 1), np.int8)
    check_inputs(signature, {"city": city, "age": age})
    assert complaint(signature, {"city": city, "age": age[:1]}) == (
        'inputs "city" and "age" have 2 and 1 rows; all inputs of this model need the '
        "same number"
    )


def test_columns_of_other_tables_may_have_other_rows() -> None:
    signature = Signature(
        (spec("a", "tensor(int8)", ("N", 1)), spec("b", "tensor(int8)", ("M", 1))), ()
    )
    rows = np.zeros((2, 1), np.int8)
    check_inputs(signature, {"a": rows, "b": rows[:1]})


def test_every_missing_input_is_named() -> None:
    signature = Signature(
        (spec("a", "tensor(int8)", ("N",)), spec("b", "tensor(float)", ())), ()
    )
    assert complaint(signature, {}) == (
        'inputs are missing; the model wants "a" (int8 [N]) and "b" (float32 [])'
    )


def test_a_tensor_of_unknown_rank_takes_any_shape() -> None:
    signature = Signature((spec("x", "tensor(float)", None),), ())
    for shape in ((), (0,), (1, 2, 3)):
        check_inputs(signature, {"x": np.zeros(shape, np.float32)})


def test_a_scalar_takes_no_dimension() -> None:
    signature = Signature((spec("x", "tensor(float)", ()),), ())
    check_inputs(signature, {"x": np.zeros((), np.float32)})
    assert "expected float32 [], got float32 [1]" in complaint(
        signature, {"x": np.zeros(1, np.float32)}
    )


def test_both_of_numpys_kinds_of_strings_pass_for_strings() -> None:
    signature = Signature((spec("x", "tensor(string)", ("N",)),), ())
    check_inputs(signature, {"x": np.array(["a"], dtype=object)})
    check_inputs(signature, {"x": np.array(["a"])})
    assert "got int64 [1]" in complaint(signature, {"x": np.zeros(1, np.int64)})


def test_an_optional_input_may_be_left_out_or_null() -> None:
    signature = Signature((spec("x", "optional(tensor(float))", None),), ())
    check_inputs(signature, {})
    check_inputs(signature, {"x": None})
    check_inputs(signature, {"x": np.zeros(2, np.float32)})
    assert "expected optional(float32), got int8 [2]" in complaint(
        signature, {"x": np.zeros(2, np.int8)}
    )


def test_items_of_a_sequence_are_checked() -> None:
    signature = Signature((spec("x", "seq(tensor(float))", None),), ())
    check_inputs(signature, {"x": []})
    check_inputs(signature, {"x": [np.zeros(2, np.float32)]})
    assert "expected seq(float32), got int8 [2]" in complaint(
        signature, {"x": [np.zeros(2, np.int8)]}
    )
    assert "got float32 [2]" in complaint(signature, {"x": np.zeros(2, np.float32)})


def test_a_map_wants_keys_of_its_type_and_one_at_least() -> None:
    signature = Signature((spec("x", "map(string,tensor(float))", None),), ())
    good: dict[str, Any] = {"x": {"a": 1.0}}
    check_inputs(signature, good)
    assert "got the key 1" in complaint(signature, {"x": {1: 1.0}})
    assert "give one key at least" in complaint(signature, {"x": {}})
    assert "got a list" in complaint(signature, {"x": []})
