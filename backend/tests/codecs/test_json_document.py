import random
import subprocess
import sys
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.codecs.json_document import LARGE_BYTES, Numbers, Path, loads
from app.codecs.json_tensors import Index, build_tensor
from app.engine.tensors import BY_NAME
from app.engine.values import Array
from app.errors import InvalidInput

TENSORS: Path = ("input_data", None)
ELEMENTS = (
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e8m0fnu"),
    *("int64", "uint64", "int32", "uint8", "int4", "bool", "string"),
)

numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=16, allow_nan=False, allow_infinity=False),
    st.integers(-(2**55), 2**55).map(float),
    st.sampled_from([0.0, -0.0, 5e-324, 2**53, 2**53 + 1, 2**63, 2**64, 65520, 1e39]),
)
strays = st.one_of(
    st.none(), st.booleans(), st.sampled_from(["NaN", "-Infinity", "", "["]), numbers
)


def place(index: Index) -> str:
    return f"x{list(index)}"


def read(body: bytes, dtype: str, *, large_bytes: int) -> Array | str:
    """The tensor, or what is said against it."""
    data = loads(body, TENSORS, large_bytes=large_bytes)["input_data"]["x"]
    try:
        return build_tensor(data, BY_NAME[dtype], place)
    except InvalidInput as error:
        return error.detail


def agree(body: bytes, dtype: str) -> None:
    small = read(body, dtype, large_bytes=2**60)
    large = read(body, dtype, large_bytes=0)
    if isinstance(small, str) or isinstance(large, str):
        assert small == large
    elif small.dtype == object:
        assert (small.shape, small.tolist()) == (large.shape, large.tolist())
    else:
        assert (small.dtype, small.shape) == (large.dtype, large.shape)
        assert small.tobytes() == large.tobytes()


@st.composite
def nested_lists(draw: st.DrawFn) -> Any:
    """Lists of one shape, in which a few places may be of another kind."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    kind = draw(st.sampled_from([numbers, st.integers(-9, 9), st.just(1.5)]))

    def build(depth: int) -> Any:
        if depth == len(shape):
            return draw(kind)
        return [build(depth + 1) for _ in range(shape[depth])]

    data = build(0)
    for _ in range(draw(st.integers(0, 2))):
        _spoil(data, draw)
    return data


def _spoil(data: list[Any], draw: st.DrawFn) -> None:
    inner = data
    while isinstance(inner[0], list) and inner[0] and draw(st.booleans()):
        inner = inner[draw(st.integers(0, len(inner) - 1))] or inner
        if not isinstance(inner, list) or not inner:
            return
    at = draw(st.integers(0, len(inner) - 1))
    match draw(st.sampled_from(["stray", "wrap", "drop", "empty", "object"])):
        case "stray":
            inner[at] = draw(strays)
        case "wrap":
            inner[at] = [inner[at]]
        case "drop":
            inner.pop()
            if not inner:
                inner.append(0)
        case "empty":
            inner[at] = []
        case _:
            inner[at] = {"b64": "AA=="}


# A busy machine is slow to make up so many lists.
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(nested_lists(), st.sampled_from(ELEMENTS))
def test_large_bodies_are_read_as_small_ones_are(data: Any, dtype: str) -> None:
    # A number of more than 64 bits is no JSON to orjson's writer.
    body = repr({"input_data": {"x": data}, "n": [1]}).replace("'", '"')
    body = (
        body.replace("True", "true").replace("False", "false").replace("None", "null")
    )
    agree(body.encode(), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("spoilt", [None, "NaN", 1.0, 1.5, True, [1], [], {}, 2**63])
def test_one_stray_among_many_numbers_is_judged_alike(spoilt: Any, dtype: str) -> None:
    row: list[Any] = [1] * 5000
    if spoilt is None:
        agree(orjson.dumps({"input_data": {"x": [row, row]}}), dtype)
    agree(orjson.dumps({"input_data": {"x": [row, [*row[:-1], spoilt]]}}), dtype)


def test_many_numbers_are_copied_at_once() -> None:
    array = np.arange(6000, dtype=np.float32).reshape(3, 4, 500)
    body = orjson.dumps({"input_data": {"x": array.tolist()}, "outputs": ["y"]})
    assert len(body) > LARGE_BYTES

    data = loads(body, TENSORS)

    numbers = data["input_data"]["x"]
    assert isinstance(numbers, Numbers)
    assert numbers.shape == (3, 4, 500)
    assert data["outputs"] == ["y"]
    assert np.array_equal(build_tensor(numbers, BY_NAME["float32"], place), array)


def test_other_lists_beside_many_numbers_are_lists() -> None:
    words = ["a", "[", 'b"', "\\"]
    data: dict[str, Any] = {"x": [0.5] * 3000, "s": ["a", "b"], "e": [], "b": [True]}
    body = orjson.dumps({"input_data": data, "outputs": []})
    read = loads(body, TENSORS)["input_data"]
    assert isinstance(read["x"], Numbers)
    assert {**read, "x": data["x"]} == data

    body = orjson.dumps({"input_data": {**data, "s": words}})
    assert loads(body, TENSORS)["input_data"] == {**data, "s": words}


def test_two_documents_may_be_open_at_once() -> None:
    bodies = [orjson.dumps({"input_data": {"x": [at] * 9000}}) for at in range(3)]
    opened = [loads(body, TENSORS)["input_data"]["x"] for body in bodies]
    for at, numbers in enumerate(opened):
        tensor = build_tensor(numbers, BY_NAME["int64"], place)
        assert tensor.tolist() == [at] * 9000


@pytest.mark.parametrize(
    "body",
    [
        b'{"input_data": {"x": [1, 2], "x": [3, 4]}}',
        b'{"input_data": {"x": [1]}, "input_data": {"x": [2]}}',
        b'{"input_data": {"x": [1, [2]]}, "n": "["}',
        b'{"input_data": {"x": [[1], [[2]]]}, "n": "["}',
        b'{"input_data": {"[": [1, 2], "x": [3]}}',
        b'{"input_data": {"x": [-0, 1]}}',
        b'{"input_data": {"x": [123456789012345678901234567890]}}',
        b'{"input_data": {"x": [1, 2]}, "request_id": "\\u005b"}',
        b'{"input_data": {"x": [1, [2]]}, "request_id": "\\u005b"}',
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_what_the_parsers_see_differently_is_read_alike(
    body: bytes, dtype: str
) -> None:
    agree(body, dtype)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"input_data": {"x": [1]}}',
        b'{"input_data": {"x": [1,]}}',
        b'{"input_data": {"x": [1e400]}}',
        b'{"input_data": {"x": [NaN]}}',
        b'{"input_data": {"x": [01]}}',
        b'{"input_data": {"x": [1]}} x',
        b'{"input_data": {"x": [1]}, "n": "\xff"}',
        b'{"input_data": {"x": [1]}, "n": "\\ud800"}',
        b'{"input_data": {"x": ' + b"[" * 2000 + b"]" * 2000 + b"}}",
    ],
)
def test_what_is_no_json_in_a_small_body_is_none_in_a_large_one(body: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(body, TENSORS, large_bytes=2**60)
    with pytest.raises(orjson.JSONDecodeError):
        loads(body, TENSORS, large_bytes=0)


def test_all_bodies_are_read_where_there_is_no_simdjson() -> None:
    """Not every version of Python has a wheel of it."""
    program = (
        "import sys; sys.modules['simdjson'] = None\n"
        "from app.codecs.json_document import loads\n"
        "body = b'{\"input_data\": {\"x\": [' + b'1, ' * 9000 + b'1]}}'\n"
        "print(len(loads(body, ('input_data', None))['input_data']['x']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "9001\n"


def test_an_array_of_any_length_is_read_alike() -> None:
    shuffled = random.Random(7)
    for length in (1, 2, 999, 4096, 20_001):
        data = [shuffled.random() for _ in range(length)]
        agree(orjson.dumps({"input_data": {"x": data}}), "float32")
