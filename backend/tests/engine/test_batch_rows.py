from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from app.engine.batch_rows import NotByRows, rows_of, split, stacked

X = np.arange(6, dtype=np.float32).reshape(3, 2)
TEXTS = np.array(["a", b"\xff", "c"], dtype=object)


def kind(**inputs: Any) -> object:
    rows = rows_of(inputs)
    assert rows is not None
    return rows.kind


def test_rows_and_bytes_are_counted() -> None:
    rows = rows_of({"x": X, "y": X[:, :1]})
    assert rows is not None
    assert (rows.count, rows.size_bytes, rows.row_bytes) == (3, 36, 12)


def test_only_equal_names_types_and_trailing_shapes_are_one_kind() -> None:
    assert kind(x=X, t=TEXTS) == kind(t=TEXTS[:1], x=X[:1])
    others = [
        kind(y=X, t=TEXTS),
        kind(x=X.astype(np.float64), t=TEXTS),
        kind(x=X[:, :1], t=TEXTS),
        kind(x=X.reshape(3, 2, 1), t=TEXTS),
        kind(x=X),
    ]
    assert kind(x=X, t=TEXTS) not in others


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"x": np.array(1.0)},
        {"x": X, "y": X[:2]},
        {"x": X[:0]},
        {"x": X, "xs": [X]},
        {"x": X, "y": None},
    ],
    ids=["none", "scalar", "unequal", "empty", "list", "null"],
)
def test_other_inputs_have_no_rows(inputs: dict[str, Any]) -> None:
    assert rows_of(inputs) is None


@pytest.mark.parametrize(
    "array", [X, TEXTS, X.astype(bfloat16)], ids=["float32", "string", "bfloat16"]
)
def test_what_is_stacked_is_split_again(array: Any) -> None:
    parts = [array[:1], array[1:], array]
    whole = stacked([{"x": part} for part in parts])
    again = split(whole, [1, 2, 3])
    for part, (name, value) in zip(parts, (p.popitem() for p in again), strict=True):
        assert name == "x"
        assert isinstance(value, np.ndarray)
        assert value.dtype == part.dtype
        assert value.tolist() == part.tolist()


@pytest.mark.parametrize(
    "output", [X[:2], np.array(3.0), [1, 2, 3]], ids=["rows", "scalar", "list"]
)
def test_an_output_of_other_rows_is_not_split(output: Any) -> None:
    with pytest.raises(NotByRows):
        split({"x": X, "y": output}, [1, 2])
