"""One table gives the same tensors through every format of rows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.codecs.base import Asked, NullPolicy, Target
from app.errors import InvalidInput, MissingFeatures, MLForgeError
from tests.codecs.tabular import (
    ARROW,
    CSV,
    NDJSON,
    PARQUET,
    ROW_TYPES,
    Table,
    arrow_bytes,
    csv_bytes,
    decoder,
    encoded,
    from_json,
)
from tests.codecs.targets import COLUMNS, target

MIXED = target(
    [
        ("f32", "float32", [None, 1]),
        ("f64", "float64", [None]),
        ("whole", "int64", [None]),
        ("small", "uint8", ["N", 1]),
        ("flag", "bool", [None]),
        ('a, "b"\n', "string", [None, 1]),
    ],
    [("y", "float32", [None])],
)
NULLS = NullPolicy(
    nan=True,
    defaults={"whole": -1, "small": 7, "flag": True, 'a, "b"\n': "", "f64": 0.5},
)
WIDE = target(
    [("x", "float32", ["N", 4])],
    [("y", "float32", ["N"])],
    features=("a", "b", "c", "d"),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", '"', '""', "\n", "\r\n", ",", " a ", "é\u2028", "NaN", "1", "true", "null"]
)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "f32": st.floats(width=32),
    "f64": st.floats(),
    "whole": INT64,
    "small": st.integers(0, 255),
    "flag": st.booleans(),
    'a, "b"\n': TEXT,
}


@st.composite
def tables(draw: st.DrawFn, values: Mapping[str, Any], *, nulls: bool) -> Any:
    count = draw(st.integers(1, 6))
    names = draw(st.permutations([*values, "of no model"]))
    columns = {}
    for name in names:
        value = values.get(name, TEXT)
        value = st.none() | value if nulls else value
        columns[name] = draw(st.lists(value, min_size=count, max_size=count))
    return columns


def assert_same(asked: Asked, wanted: Asked) -> None:
    assert asked.rows == wanted.rows
    assert asked.ignored == wanted.ignored
    assert asked.inputs.keys() == wanted.inputs.keys()
    for name, array in wanted.inputs.items():
        got = asked.inputs[name]
        assert isinstance(got, np.ndarray)
        assert isinstance(array, np.ndarray)
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        if array.dtype == object:
            assert got.tolist() == array.tolist()
        else:
            # NaNs may differ in their payload.
            np.testing.assert_array_equal(got, array)
            real = got if got.dtype.kind != "f" else np.nan_to_num(got)
            other = array if got.dtype.kind != "f" else np.nan_to_num(array)
            assert real.tobytes() == other.tobytes()


@given(tables(VALUES, nulls=False))
def test_a_table_is_the_same_in_every_format(table: Table) -> None:
    wanted = from_json(table, MIXED)
    for media_type in ROW_TYPES:
        asked = decoder(media_type).decode(encoded(table, media_type), MIXED)
        assert_same(asked, wanted)


@given(tables(VALUES, nulls=True))
def test_nulls_are_the_same_in_every_format(table: Table) -> None:
    lenient = replace(MIXED, nulls=NULLS)
    wanted = from_json(table, lenient)
    for media_type in ROW_TYPES:
        asked = decoder(media_type).decode(encoded(table, media_type), lenient)
        assert_same(asked, wanted)


NUMBERS = {
    "a": INT64,
    "b": st.floats(width=32),
    "c": st.booleans(),
    "d": st.integers(0, 2**64 - 1),
}


@given(tables(NUMBERS, nulls=False))
def test_numbers_of_all_kinds_make_the_same_matrix(table: Table) -> None:
    wanted = from_json(table, WIDE)
    for media_type in ROW_TYPES:
        asked = decoder(media_type).decode(encoded(table, media_type), WIDE)
        assert_same(asked, wanted)


@given(tables(VALUES, nulls=False), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_is_the_same_with_any_line_end_and_with_a_bom(
    table: Table, line: str, bom: bool
) -> None:
    asked = decoder(CSV).decode(csv_bytes(table, line=line, bom=bom), MIXED)
    assert_same(asked, from_json(table, MIXED))


def csv(text: str, wanted: Target = COLUMNS) -> Asked:
    return decoder(CSV).decode(text.encode(), wanted)


def test_csv_numbers_are_read_in_every_usual_spelling() -> None:
    cells = [
        "1",
        "1.0",
        "1e3",
        "NaN",
        "nan",
        "true",
        "False",
        "+1",
        ".5",
        " 2 ",
        "-inf",
    ]
    asked = csv("x\n" + "\n".join(cells) + "\n", target([("x", "float32", ["N"])], []))
    wanted = [1, 1, 1000, np.nan, np.nan, 1, 0, 1, 0.5, 2, -np.inf]
    np.testing.assert_array_equal(asked.inputs["x"], np.array(wanted, np.float32))


def test_csv_text_stays_as_it_is_in_a_string_column() -> None:
    asked = csv('age,city,visits\n1,01,2.0\n2,"a ""b""\nc",3\n3," x ",1e2\n4,"",5\n')
    city, visits = asked.inputs["city"], asked.inputs["visits"]
    assert isinstance(city, np.ndarray)
    assert isinstance(visits, np.ndarray)
    assert city.ravel().tolist() == ["01", 'a "b"\nc', " x ", ""]
    assert visits.tolist() == [2, 3, 100, 5]


def test_blank_lines_of_csv_are_no_rows() -> None:
    assert csv("\nage,city,visits\n\n1,a,2\n\n").rows == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,city,visits\n1,a,2\n,a,3\n", 'line 3, column "age": .* got null'),
        ("age,city,visits\n1,,2\n", 'line 2, column "city": expected a string, got nu'),
        ("age,city,visits\n1,a,x\n", 'line 2, column "visits": .* the string "x"'),
        ("age,city,visits\n1,a,1.5\n", 'line 2, column "visits": .* got 1.5'),
        ("age,city,visits\n1,a,1_0\n", 'line 2, column "visits": .* string "1_0"'),
        (
            'age,city,visits\n1,"\n\n",2\n1,a,null\n',
            'line 5, column "visits": .*"null"',
        ),
        ('age,city,visits\n1,a,"1,2"\n', 'line 2, column "visits": .*"1,2"'),
        ("age,city,visits\n1e400,a,2\n", 'line 2, column "age": .*"1e400"'),
        ("age,city,visits\n1e39,a,2\n", 'line 2, column "age": .*outside the range'),
        (
            "age,city,visits\n1,a,9223372036854775808\n",
            'line 2, column "visits": 9223372036854775808 is outside the range',
        ),
        ("age,city,visits\n1,a,2\n1,a\n", "line 3: the row has 2 fields, .* has 3"),
        ("age;city;visits\n1;a;2,5\n", "line 2: .*only a comma separates"),
        ("age,city,age\n1,a,2\n", 'line 1: column "age" stands there twice'),
        ("age,city\n1,a\n", 'line 1 lacks .*: visits; its columns are "age", "city"'),
        ("age,city,visits\n", "no rows"),
        ("", "line 1 lacks features .*: age, city, visits; its columns are none"),
        ('age,city,visits\n1,"a,2\n', "line 2: unexpected end of data"),
        ('age,city,visits\n1,"a"b,2\n', "line 2: "),
    ],
)
def test_what_is_wrong_in_csv_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(MLForgeError, match=message) as caught:
        csv(text)
    assert caught.value.status == 400


def test_ndjson_errors_name_the_line() -> None:
    good = b'{"age": 1, "city": "a", "visits": 2}\n'
    for line, message in [
        (b'{"age": 1', "line 4 is no valid JSON"),
        (b"[1]", "line 4 must be an object"),
        (b'{"age": 1, "city": "a"}', "line 4 lacks features .*: visits"),
        (b'{"age": 1, "city": 5, "visits": 2}', 'line 4, column "city": .* got 5'),
        (b'{"age": [1], "city": "", "visits": 2}', 'line 4, column "age": .* a list'),
    ]:
        with pytest.raises(MLForgeError, match=message):
            decoder(NDJSON).decode(good + b"\n" + good + line + b"\n" + good, COLUMNS)


@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            {"visits": [1, 2.5]},
            'row 2, column "visits": expected a whole number, got 2',
        ),
        ({"visits": ["1", "2"]}, 'row 1, column "visits": .*the string "1"'),
        ({"city": [1, 2]}, 'row 1, column "city": expected a string, got 1'),
        ({"city": ["a", None]}, 'row 2, column "city": expected a string, got null'),
        ({"age": [1.5, None]}, 'row 2, column "age": expected a number, got null'),
        ({"age": [1.5, 1e300]}, 'row 2, column "age": .* outside the range of float32'),
        (
            {"age": [[1.0], [2.0]]},
            'row 1, column "age": expected one value, got a list',
        ),
        ({"age": [{"a": 1}, None]}, 'column "age": values of the type struct<a: int64'),
    ],
)
def test_what_is_wrong_in_a_typed_table_is_named_with_its_row(
    media_type: str, column: dict[str, list[Any]], message: str
) -> None:
    table = {"age": [1.0, 2.0], "city": ["a", "b"], "visits": [1, 2], **column}
    with pytest.raises(InvalidInput, match=message):
        decoder(media_type).decode(encoded(table, media_type), COLUMNS)


@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
def test_a_column_that_is_not_there_is_named(media_type: str) -> None:
    table = {"age": [1.0], "town": ["a"]}
    with pytest.raises(
        MissingFeatures, match='city, visits; its columns are "age", "t'
    ):
        decoder(media_type).decode(encoded(table, media_type), COLUMNS)


@pytest.mark.parametrize("media_type", [NDJSON, ARROW, PARQUET])
def test_lists_fill_features_by_their_place(media_type: str) -> None:
    wanted = target(
        [("x", "float32", ["N", 3])], [], features=("age", "tags[0]", "tags[1]")
    )
    table = {"age": [1.0, 2.0], "tags": [[5, 6], [7, 8]]}
    asked = decoder(media_type).decode(encoded(table, media_type), wanted)
    assert_same(asked, from_json(table, wanted))
    short = {"age": [1.0, 2.0], "tags": [[5, 6], [7]]}
    with pytest.raises(MissingFeatures, match=r"(row|line) 2 lacks .* tags\[1\]"):
        decoder(media_type).decode(encoded(short, media_type), wanted)


ARROW_KINDS = [
    (pa.float16(), [1.5, -0.0], "float32"),
    (pa.int8(), [1, -2], "float64"),
    (pa.uint64(), [2**63, 1], "uint64"),
    (pa.bool_(), [True, False], "int64"),
    (pa.float64(), [3.0, -4.0], "int32"),
    (pa.decimal128(5, 2), [1, 2], "float32"),
    (pa.large_string(), ["a", "é"], "string"),
    (pa.string_view(), ["a", "longer than twelve bytes"], "string"),
    (pa.binary(), [b"a", b"\xff"], "string"),
    (pa.dictionary(pa.int8(), pa.string()), ["a", "a"], "string"),
    (pa.dictionary(pa.int8(), pa.int16()), [7, 8], "float32"),
    (pa.dictionary(pa.int8(), pa.float32()), [1.5, 2.0], "float64"),
]


@pytest.mark.parametrize(("kind", "values", "dtype"), ARROW_KINDS, ids=str)
def test_every_arrow_type_of_numbers_and_text_is_taken(
    kind: Any, values: list[Any], dtype: str
) -> None:
    wanted = target([("x", dtype, ["N"])], [])
    table = pa.table({"x": pa.chunked_array([pa.array(values, kind)] * 2)})
    asked = decoder(ARROW).decode(arrow_bytes(table, compression="zstd"), wanted)
    text = [
        v.decode(errors="surrogateescape") if isinstance(v, bytes) else v
        for v in values
    ]
    got = asked.inputs["x"]
    assert isinstance(got, np.ndarray)
    assert str(got.dtype) == ("object" if dtype == "string" else dtype)
    shown = [
        v.decode(errors="surrogateescape") if isinstance(v, bytes) else v for v in got
    ]
    assert shown == text * 2
