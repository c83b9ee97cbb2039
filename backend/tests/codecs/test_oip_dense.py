"""Outputs that are no tensors, as the tensors they become."""

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.codecs.dense import dense_spec, densify, labels_text
from app.errors import InvalidRequest
from tests.codecs.targets import spec

if TYPE_CHECKING:
    from app.engine.values import Scalar, Value

ZIPMAP = spec(("p", "seq(map(string,float32))", None))
SEQUENCE = spec(("s", "seq(float32)", None))
OPTIONAL = spec(("o", "optional(float32)", None))
MAP = spec(("m", "map(int64,float64)", None))


def row(**values: float) -> "Value":
    found: dict[str, Value | Scalar] = {**values}
    return found


def test_a_zipmap_becomes_rows_of_classes_with_labels() -> None:
    dense = densify([row(b=0.25, a=0.75), row(a=0.5, b=0.5)], ZIPMAP)
    assert dense.array.dtype == np.float32
    assert dense.array.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert dense.labels == ("b", "a")
    assert json.loads(labels_text(("b", "a,c"))) == ["b", "a,c"]
    assert labels_text((0, 1)) == "[0,1]"


def test_no_rows_are_an_empty_tensor() -> None:
    assert densify([], ZIPMAP).array.shape == (0, 0)
    assert densify([], SEQUENCE).array.shape == (0,)


def test_rows_of_other_keys_are_refused() -> None:
    with pytest.raises(InvalidRequest, match='"p": row 1 has other keys'):
        densify([row(a=1.0), row(b=1.0)], ZIPMAP)


def test_equal_tensors_are_stacked_and_unequal_ones_refused() -> None:
    one, other = np.ones((2,), np.float32), np.ones((3,), np.float32)
    assert densify([one, one], SEQUENCE).array.shape == (2, 2)
    with pytest.raises(InvalidRequest, match=r'"s": element 1 .* use /api/v1'):
        densify([one, other], SEQUENCE)


def test_an_optional_is_its_value_or_an_error() -> None:
    value = np.ones((2,), np.float32)
    assert densify(value, OPTIONAL).array is value
    with pytest.raises(InvalidRequest, match='"o": the model gave no value'):
        densify(None, OPTIONAL)


def test_a_map_is_a_row() -> None:
    numbers: dict[int, Value | Scalar] = {7: 0.5, 3: 1.5}
    dense = densify(numbers, MAP)
    assert dense.array.tolist() == [0.5, 1.5]
    assert dense.labels == (7, 3)


@pytest.mark.parametrize(
    ("dtype", "shape", "wanted"),
    [
        ("float32", ["N", 4], (-1, 4)),
        ("float32", [], ()),
        ("float32", None, (-1,)),
        ("seq(map(int64,float32))", None, (-1, -1)),
        ("map(int64,float32)", None, (-1,)),
        ("seq(float32)", None, (-1,)),
        ("optional(seq(float32))", None, (-1,)),
    ],
)
def test_metadata_show_the_dense_form(
    dtype: str, shape: list[int | str | None] | None, wanted: tuple[int, ...]
) -> None:
    dense = dense_spec(spec(("x", dtype, shape)))
    assert (dense.datatype, dense.shape) == ("FP32", wanted)
    assert dense.type == (dtype if "(" in dtype else None)


def test_known_classes_fix_the_width() -> None:
    assert dense_spec(ZIPMAP, ("a", "b", "c")).shape == (-1, 3)
