"""Every format of answers says what the JSON answer says."""

import io
import json
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from app.codecs.base import Answer
from app.engine.tensors import ELEMENT_TYPES, ElementType
from app.errors import NotAcceptable
from tests.codecs.tabular import (
    ARROW,
    CSV,
    NDJSON,
    NPZ,
    PARQUET,
    answer_of,
    json_rows,
    read_arrow,
    read_csv,
    written,
)
from tests.codecs.targets import target

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def objects(*values: object) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def varied() -> Answer:
    outputs: dict[str, Any] = {
        "label": np.array([1, -(2**62)], np.int64),
        "score": np.array([[0.1], [np.nan]], np.float32),
        "vector": np.array([[0.1, np.inf], [-0.0, -np.inf]], np.float32),
        "cube": np.arange(8, dtype=np.float16).reshape(2, 2, 2),
        "flag": np.array([True, False]),
        'na"me, x': objects('a "q", b', ""),
        "maps": [{"cat": 0.25, "dog": 0.1}, {"cat": 1.0, "dog": 0.0}],
        "ids": [{7: 0.5}, {8: 0.5}],
        "bf": np.array([1.5, 3], ml_dtypes.bfloat16),
        "tiny": np.array([-8, 7], ml_dtypes.int4),
    }
    kinds = {"maps": "seq(map(string,float32))", "ids": "seq(map(int64,float32))"}
    lines: list[Any] = [
        (name, kinds.get(name) or dtype_of(value), None)
        for name, value in outputs.items()
    ]
    return answer_of(outputs, target([], lines), 2)


def dtype_of(array: Any) -> str:
    return "string" if array.dtype == object else array.dtype.name


def plain(value: Any) -> Any:
    """JSON's words for floats as floats, so that values compare as numbers."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        kept = {str(k): plain(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v is not None}
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return WORDS.get(value, value) if value != "NaN" else "NaN"


def as_float32(value: Any) -> Any:
    if isinstance(value, list):
        return [as_float32(item) for item in value]
    if isinstance(value, dict):
        return {key: as_float32(item) for key, item in value.items()}
    return float(np.float32(value)) if isinstance(value, float) else value


def test_ndjson_rows_are_the_rows_of_the_json_answer() -> None:
    answer = varied()
    rows = [json.loads(line) for line in written(answer, NDJSON).splitlines()]
    assert rows == json_rows(answer)


@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
def test_arrow_and_parquet_hold_the_values_of_the_json_answer(media_type: str) -> None:
    answer = varied()
    table = read_arrow(written(answer, media_type), media_type)
    wanted = as_float32(plain(json_rows(answer)))
    assert as_float32(plain(table.to_pylist())) == wanted
    assert str(table.schema.field("score").type) == "float"
    assert str(table.schema.field("label").type) == "int64"


def test_csv_spreads_vectors_and_maps_over_columns() -> None:
    rows = read_csv(written(varied(), CSV))
    assert rows[0] == {
        "label": "1",
        "score": "0.1",
        "vector[0]": "0.1",
        "vector[1]": "Infinity",
        "cube[0][0]": "0.0",
        "cube[0][1]": "1.0",
        "cube[1][0]": "2.0",
        "cube[1][1]": "3.0",
        "flag": "true",
        'na"me, x': 'a "q", b',
        "maps[cat]": "0.25",
        "maps[dog]": "0.1",
        "ids[7]": "0.5",
        "ids[8]": "",
        "bf": "1.5",
        "tiny": "-8",
    }
    assert rows[1]["score"] == "NaN"
    assert rows[1]["vector[0]"] == "-0.0"
    assert rows[1]["label"] == str(-(2**62))


def npz_answer() -> Answer:
    answer = varied()
    outputs = {name: v for name, v in answer.outputs.items() if name != "ids"}
    return answer_of(outputs, answer.target, 2)


def test_npz_gives_tensors_and_maps_with_their_labels() -> None:
    answer = npz_answer()
    with np.load(io.BytesIO(written(answer, NPZ)), allow_pickle=False) as archive:
        arrays = dict(archive)
    assert arrays["maps.labels"].tolist() == ["cat", "dog"]
    chances = np.array([[0.25, 0.1], [1, 0]], np.float32)
    np.testing.assert_array_equal(arrays["maps"], chances)
    assert arrays['na"me, x'].tolist() == ['a "q", b', ""]
    assert arrays["bf"].view(ml_dtypes.bfloat16).tolist() == [1.5, 3]
    for name in ("label", "score", "vector", "cube", "flag"):
        wanted = np.asarray(answer.outputs[name])
        np.testing.assert_array_equal(arrays[name], wanted)
        assert arrays[name].dtype == wanted.dtype


def test_npz_refuses_maps_of_different_labels() -> None:
    with pytest.raises(NotAcceptable, match=r'"ids" .* is no one array'):
        written(varied(), NPZ)


NUMERIC = [element for element in ELEMENT_TYPES if not element.is_string]


@pytest.mark.parametrize("element", NUMERIC, ids=lambda e: e.name)
@pytest.mark.parametrize("media_type", [ARROW, PARQUET, CSV, NDJSON])
def test_every_element_type_has_a_form_in_every_format(
    element: ElementType, media_type: str
) -> None:
    values = np.array([[1, 0], [1, 1]]).astype(element.dtype)
    answer = answer_of({"y": values}, target([], [("y", element.name, None)]), 2)
    body = written(answer, media_type)
    if media_type == CSV:
        cells = [float(_number(c)) for row in read_csv(body) for c in row.values()]
    elif media_type == NDJSON:
        cells = [v for line in body.splitlines() for v in json.loads(line)["y"]]
    else:
        cells = [
            v for row in read_arrow(body, media_type)["y"].to_pylist() for v in row
        ]
    wanted = values.astype(np.float64).ravel()
    np.testing.assert_array_equal([float(cell) for cell in cells], wanted)


def _number(cell: str) -> str:
    return {"true": "1", "false": "0"}.get(cell, cell)


@pytest.mark.parametrize("media_type", [CSV, NDJSON, ARROW, PARQUET])
def test_an_output_without_a_value_for_each_row_is_refused(media_type: str) -> None:
    wanted = target([], [("y", "float32", [None]), ("loss", "float32", [])])
    loss = np.array(0.5, np.float32)
    answer = answer_of({"y": np.zeros(2, np.float32), "loss": loss}, wanted, 2)
    with pytest.raises(NotAcceptable, match=r'output "loss" .* for every row'):
        written(answer, media_type)
    alone = answer_of({"y": np.zeros(2, np.float32)}, wanted, None)
    assert written(alone, media_type)


def test_bytes_that_are_no_text_are_given_where_a_format_can() -> None:
    answer = answer_of(
        {"s": objects(b"\xff", "a")}, target([], [("s", "string", None)]), 2
    )
    table = read_arrow(written(answer, ARROW), ARROW)
    assert table["s"].to_pylist() == [b"\xff", b"a"]
    for media_type in (CSV, NPZ):
        with pytest.raises(NotAcceptable, match='output "s" holds'):
            written(answer, media_type)


def test_sequences_of_tensors_are_lists() -> None:
    values: Any = [np.array([1, 2], np.int64), np.array([3], np.int64)]
    answer = answer_of({"s": values}, target([], [("s", "seq(int64)", None)]), 2)
    wanted = [{"s": [1, 2]}, {"s": [3]}]
    assert read_arrow(written(answer, ARROW), ARROW).to_pylist() == wanted
    assert [json.loads(x) for x in written(answer, NDJSON).splitlines()] == wanted
    assert [row["s"] for row in read_csv(written(answer, CSV))] == ["[1,2]", "[3]"]
