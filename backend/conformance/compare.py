"""Are two values the same, as a client sees them?"""

from typing import Any

import numpy as np

from app.engine.tensors import element_of
from app.engine.values import Array


def same(left: Any, right: Any) -> bool:
    """Types, dtypes, shapes and bits alike; any NaN is like any other."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return _same_arrays(left, right)
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(
            same(left[key], right[key]) for key in left
        )
    return bool(left == right or (left != left and right != right))


def describe(value: Any) -> str:
    """For the report of a miss."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name} {list(value.shape)} {value.ravel()[:4].tolist()}"
    return f"{type(value).__name__} {str(value)[:60]}"


def _same_arrays(left: Array, right: Array) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype == object:
        return bool(left.tolist() == right.tolist())
    if not element_of(left).is_float:
        return left.tobytes() == right.tobytes()
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        nothing, other = np.isnan(left), np.isnan(right)
    if not np.array_equal(nothing, other):
        return False
    return left[~nothing].tobytes() == right[~nothing].tobytes()
