import numpy as np
import pytest

from app.codecs.features import build_table
from app.errors import InvalidInput, InvalidRequest, MissingFeatures
from tests.codecs.targets import COLUMNS, MATRIX, target


def place(at: int) -> str:
    return f"rows[{at}]"


def test_names_become_columns_in_the_models_order() -> None:
    rows: list[dict[str, object]] = [
        {"tags[1]": 3, "age": 1, "tags[0]": 2},
        {"age": True, "tags": [5.5, "NaN"]},
    ]
    table = build_table(rows, MATRIX, place)
    wanted = np.array([[1, 2, 3], [1, 5.5, np.nan]], np.float32)
    np.testing.assert_array_equal(table.tensors["x"], wanted)
    assert table.ignored == ()


def test_column_inputs_take_strings_and_numbers_mixed() -> None:
    rows = [
        {"city": "Bern", "age": 41, "visits": 3},
        {"city": "Oslo", "age": 0.5, "visits": 0},
    ]
    tensors = build_table(rows, COLUMNS, place).tensors
    assert tensors["age"].tolist() == [[41.0], [0.5]]
    assert tensors["city"].tolist() == [["Bern"], ["Oslo"]]
    assert tensors["visits"].tolist() == [3, 0]
    assert tensors["visits"].dtype == np.int64


def test_every_missing_name_is_listed() -> None:
    rows: list[dict[str, object]] = [
        {"age": 1, "tags": [1, 2]},
        {"tags": [1]},
        {"age": 1},
    ]
    with pytest.raises(MissingFeatures) as caught:
        build_table(rows, MATRIX, place)
    assert caught.value.detail == (
        "rows[1] and 1 more lack features that this model needs: age, tags[1], tags[0]."
    )
    assert [e.loc for e in caught.value.errors] == [
        "rows[1].age",
        "rows[1].tags[1]",
        "rows[2].tags[0]",
        "rows[2].tags[1]",
    ]


def test_names_of_others_are_ignored_and_listed_once() -> None:
    rows = [
        {"age": 1, "tags": [1, 2, 3], "color": "red", "codes": [1, 2]},
        {"age": 1, "tags": [1, 2], "color": "blue"},
    ]
    table = build_table(rows, MATRIX, place)
    assert table.ignored == ("tags[2]", "color", "codes")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": "x", "tags": [1, 2]}, r"rows\[0\].age: expected a number, got the"),
        ({"age": None, "tags": [1, 2]}, r"rows\[0\].age: expected a number, got null"),
        (
            {"age": [1], "tags": [1, 2]},
            r"rows\[0\].age: expected one value, got a list",
        ),
        ({"age": {}, "tags": [1, 2]}, r"rows\[0\].age: expected a number, got an obj"),
        ({"age": 1, "tags": [1, [2]]}, r"rows\[0\].tags\[1\]: .*ragged"),
        ({"age": 1e39, "tags": [1, 2]}, r"rows\[0\].age: 1e\+39 is outside the range"),
    ],
)
def test_a_value_that_does_not_fit_names_its_feature(
    row: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        build_table([row], MATRIX, place)


def test_a_number_for_a_string_column_names_its_feature() -> None:
    with pytest.raises(InvalidInput, match=r"rows\[0\].city: expected a string, got 7"):
        build_table([{"age": 1, "city": 7, "visits": 1}], COLUMNS, place)


def test_a_matrix_without_names_says_how_to_register_them() -> None:
    unnamed = target([("x", "float32", [None, 3])], [("y", "float32", [None])])
    with pytest.raises(InvalidRequest, match="/api/v1/models/id-1/register"):
        build_table([{"age": 1}], unnamed, place)


def test_a_model_of_images_takes_no_rows() -> None:
    images = target([("x", "float32", [None, 3, 8, 8])], [("y", "float32", [None])])
    with pytest.raises(InvalidRequest, match="Send input_data"):
        build_table([{"age": 1}], images, place)
