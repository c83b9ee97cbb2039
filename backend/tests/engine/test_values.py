import ml_dtypes
import numpy as np
import pytest

from app.engine.values import Value, nbytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((2, 3), np.float32), 24),
        (np.zeros(3, ml_dtypes.bfloat16), 6),
        (np.array(["ab", "é", b"\xff\x00\x01"], dtype=object), 2 + 2 + 3),
        (np.array([], dtype=object), 0),
        ([np.zeros(2, np.int64), np.zeros(1, np.int8)], 17),
        ([{"cat": 0.5, "dog": 0.5}], 6 + 16),
        ({0: 0.5}, 16),
        (None, 0),
    ],
)
def test_nbytes_counts_the_data_held(value: Value, expected: int) -> None:
    assert nbytes(value) == expected
