"""Arrays by input name, cast by the rules of all formats."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.engine.tensors import ELEMENT_TYPES, ElementType
from app.engine.values import Array
from app.errors import InvalidInput, InvalidRequest
from tests.codecs.tabular import NPZ, decoder, npz_bytes
from tests.codecs.targets import target

NATIVE = [e for e in ELEMENT_TYPES if e.native and not e.is_string]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)


def read(array: Any, dtype: str) -> Array:
    wanted = target([("x", dtype, None)], [])
    asked = decoder(NPZ).decode(npz_bytes({"x": array}), wanted)
    got = asked.inputs["x"]
    assert isinstance(got, np.ndarray)
    return got


@pytest.mark.parametrize("element", NATIVE, ids=lambda e: e.name)
def test_an_array_comes_as_it_is(element: ElementType) -> None:
    @given(arrays.arrays(element.dtype, SHAPES), st.booleans())
    def check(array: Array, is_fortran: bool) -> None:
        sent = np.asfortranarray(array) if is_fortran and array.ndim else array
        got = read(sent, element.name)
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.tobytes() == array.tobytes()
        assert got.flags.c_contiguous
        assert got.flags.aligned

    check()


@pytest.mark.parametrize(
    ("array", "dtype", "wanted"),
    [
        (np.array([1, 2], ">i4"), "float32", [1.0, 2.0]),
        (np.array([1.5], ">f8"), "float64", [1.5]),
        (np.array([True]), "int64", [1]),
        (np.array([3.0, -0.0]), "int8", [3, 0]),
        (np.array([2**63], np.uint64), "uint64", [2**63]),
        (np.array(["a", "é", ""]), "string", ["a", "é", ""]),
        (np.array(["a"], ">U3"), "string", ["a"]),
        (np.array([b"a", b"\xff"]), "string", ["a", b"\xff"]),
        (np.array([1.5, 2], ml_dtypes.bfloat16), "bfloat16", [1.5, 2]),
        (np.array(-7, ml_dtypes.int4), "int4", -7),
    ],
    ids=str,
)
def test_what_loses_nothing_is_cast(array: Any, dtype: str, wanted: object) -> None:
    assert read(array, dtype).tolist() == wanted


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (np.array([1.5]), "int64", r"x\[0\]: expected a whole number, got 1.5"),
        (np.array([[0, 300]]), "uint8", r"x\[0\]\[1\]: 300 is outside the range"),
        (np.array([1]), "string", r"x\[0\]: expected a string, got 1"),
        (np.array(["1"]), "float32", r'x\[0\]: expected a number, got the string "1"'),
        (np.array([1j]), "float32", r"arrays of dtype complex128 are not taken"),
        (np.array(["2020-01-01"], "M8[s]"), "int64", r"datetime64\[s\] are not taken"),
    ],
    ids=str,
)
def test_what_would_lose_something_is_refused(
    array: Any, dtype: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(array, dtype)


def test_sequences_are_sent_as_json() -> None:
    with pytest.raises(InvalidInput, match="send JSON"):
        read(np.zeros(2), "seq(float32)")


def test_an_empty_file_is_no_archive() -> None:
    with pytest.raises(InvalidRequest, match="no valid npz file"):
        decoder(NPZ).decode(b"", target([("x", "float32", None)], []))
