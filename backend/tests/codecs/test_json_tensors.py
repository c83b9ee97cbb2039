import math

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.codecs.json_tensors import Index, build_tensor
from app.codecs.json_values import OPTIONS, jsonable
from app.engine.signature import TensorType
from app.engine.tensors import BY_NAME, ELEMENT_TYPES, ElementType
from app.engine.values import Array
from app.errors import InvalidInput


def place(index: Index) -> str:
    return "x" + "".join(f"[{i}]" for i in index)


def build(data: object, dtype: str) -> Array:
    return build_tensor(data, BY_NAME[dtype], place)


def through_json(array: Array, element: ElementType) -> Array:
    """Out as an answer writes it, in as a body is read."""
    text = orjson.dumps(jsonable(array, TensorType(element)), option=OPTIONS)
    return build_tensor(orjson.loads(text), element, place)


NUMERIC = [e for e in ELEMENT_TYPES if not e.is_string and e.native]
SMALL = [e for e in ELEMENT_TYPES if not e.native]


@pytest.mark.parametrize("element", NUMERIC, ids=lambda e: e.name)
def test_every_number_comes_back_bit_by_bit(element: ElementType) -> None:
    @given(arrays.arrays(element.dtype, arrays.array_shapes(min_dims=0, max_dims=4)))
    def check(array: Array) -> None:
        back = through_json(array, element)
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        np.testing.assert_array_equal(back, array)
        if element.is_float:
            zeros = array == 0
            assert (np.signbit(back) == np.signbit(array))[zeros].all()

    check()


@pytest.mark.parametrize("element", SMALL, ids=lambda e: e.name)
def test_every_value_of_the_small_types_comes_back(element: ElementType) -> None:
    bits = min(element.bits, 16)
    codes = np.arange(2**bits, dtype=np.uint16 if bits == 16 else np.uint8)
    values = codes.view(element.dtype)
    if not element.is_float:
        values = np.arange(2**bits).astype(element.dtype)
    back = through_json(values, element)
    assert back.dtype == values.dtype
    with np.errstate(invalid="ignore"):  # bfloat16 has NaNs that signal.
        wanted, got = values.astype(np.float64), back.astype(np.float64)
    np.testing.assert_array_equal(got, wanted)


@given(st.lists(st.one_of(st.text(), st.binary()), min_size=1))
def test_strings_and_bytes_come_back(values: list[str | bytes]) -> None:
    array = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        array[at] = (
            value.encode("utf-8", "replace").decode()
            if isinstance(value, str)
            else value
        )
    wanted = [v.decode() if _is_text(v) else v for v in array]
    assert through_json(array, BY_NAME["string"]).tolist() == wanted


def _is_text(value: object) -> bool:
    if not isinstance(value, bytes):
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_non_finite_floats_are_written_as_words() -> None:
    array = np.array([[1.5, np.nan], [np.inf, -np.inf]], np.float32)
    text = orjson.dumps(jsonable(array, TensorType(BY_NAME["float32"])), option=OPTIONS)
    assert text == b'[[1.5,"NaN"],["Infinity","-Infinity"]]'


def test_a_float32_is_written_with_its_own_digits() -> None:
    array = np.array([0.1, 16777217], np.float32)
    text = orjson.dumps(jsonable(array, TensorType(BY_NAME["float32"])), option=OPTIONS)
    assert text == b"[0.1,16777216.0]"


@pytest.mark.parametrize(
    ("data", "dtype", "wanted"),
    [
        ([1, 2], "float32", [1.0, 2.0]),
        ([True, 0.5], "float64", [1.0, 0.5]),
        ([1.0, 2.0], "int64", [1, 2]),
        ([True, False], "int32", [1, 0]),
        ([0, 1, 1.0], "bool", [False, True, True]),
        ([2**63, 1], "uint64", [2**63, 1]),
        ([-(2**63), 2**63 - 1], "int64", [-(2**63), 2**63 - 1]),
        ([2**53 + 1, 0], "int64", [2**53 + 1, 0]),
        (["NaN", 1], "float16", [math.nan, 1.0]),
        ([], "int8", []),
        (7, "int64", 7),
    ],
)
def test_widening_loses_nothing(data: object, dtype: str, wanted: object) -> None:
    built = build(data, dtype)
    assert built.dtype == BY_NAME[dtype].dtype
    np.testing.assert_array_equal(built, np.array(wanted, built.dtype))


@pytest.mark.parametrize(
    ("data", "dtype", "message"),
    [
        ([[1, 2], [3]], "float32", r"x\[0\]: the nested lists are ragged"),
        ([[1, 2], 3], "int64", r"x\[0\]: the nested lists are ragged"),
        ([1, [2]], "string", r"x\[1\]: the nested lists are ragged"),
        ([1, None], "float32", r"x\[1\]: expected a number, got null"),
        ([1, "two"], "float32", r'x\[1\]: expected a number, got the string "two"'),
        (["1.5"], "float64", r'x\[0\]: expected a number, got the string "1.5"'),
        ([1, "2"], "int64", r'x\[1\]: expected a whole number, got the string "2"'),
        ([1, 2.5], "int64", r"x\[1\]: expected a whole number, got 2.5"),
        ([1, {"a": 1}], "int64", r"x\[1\]: expected a whole number, got an object"),
        ([300], "uint8", r"x\[0\]: 300 is outside the range of uint8"),
        ([0, -1], "uint64", r"x\[1\]: -1 is outside the range of uint64"),
        ([2**63], "int64", r"x\[0\]: 9223372036854775808 is outside"),
        ([1e300], "int64", r"x\[0\]: 1\d+ is outside the range of int64"),
        ([8], "int4", r"x\[0\]: 8 is outside the range of int4"),
        ([[1.0, 1e39]], "float32", r"x\[0\]\[1\]: 1e\+39 is outside the range"),
        ([70000], "float16", r"x\[0\]: 70000 is outside the range of float16"),
        ([2], "bool", r"x\[0\]: expected true or false, got 2"),
        (["yes"], "bool", r"x\[0\]: expected true or false, got the string"),
        ([1], "string", r"x\[0\]: expected a string, got 1"),
        ([True], "string", r"x\[0\]: expected a string, got true"),
        ([{"b64": "*"}], "string", r"x\[0\]: .b64. holds no valid base64"),
    ],
)
def test_what_would_change_a_value_is_refused(
    data: object, dtype: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        build(data, dtype)


def test_lists_too_deep_are_refused() -> None:
    data: object = 1.0
    for _ in range(100):
        data = [data]
    with pytest.raises(InvalidInput, match="ragged"):
        build(data, "float32")


def test_small_floats_refuse_what_they_would_turn_into_another_number() -> None:
    with pytest.raises(InvalidInput, match="outside the range of float8_e4m3fn"):
        build(["Infinity"], "float8_e4m3fn")
    assert build(["Infinity"], "float8_e5m2").tolist() == [
        ml_dtypes.float8_e5m2(math.inf)
    ]


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_a_whole_number_that_became_a_float_on_the_way_is_refused(dtype: str) -> None:
    """orjson reads integers of more than 64 bits as floats, which round."""
    below, above = b"[-9223372036854775809]", b"[18446744073709551616]"
    for text in (below, above, b"[9007199254740993.0]"):
        with pytest.raises(InvalidInput, match=r"x\[0\]: "):
            build(orjson.loads(text), dtype)
    assert build([2.0**53 - 1], dtype).tolist() == [2**53 - 1]


def test_many_odd_numbers_are_written_by_their_names() -> None:
    array = np.array([np.nan, 1.5, np.nan], dtype=np.float32)
    float32 = TensorType(BY_NAME["float32"])
    assert (
        orjson.dumps(jsonable(array, float32), option=OPTIONS) == b'["NaN",1.5,"NaN"]'
    )
    array[1] = -np.inf
    text = orjson.dumps(jsonable(array, float32), option=OPTIONS)
    assert text == b'["NaN","-Infinity","NaN"]'
