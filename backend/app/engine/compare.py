"""Are two results the same, or one computed differently?"""

from typing import Any

import numpy as np
from ml_dtypes import finfo

from app.engine.values import Array

# Sums taken in another order differ by a few units in the last place per term.
_LEAST_TOLERANCE = 1e-4
_UNITS_IN_LAST_PLACE = 32


def identical(left: Any, right: Any) -> bool:
    """The same types, shapes and bits; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return _identical_arrays(left, right)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(identical, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(
            identical(left[key], right[key]) for key in left
        )
    return bool(left == right or (left != left and right != right))


def close(left: Array, right: Array) -> bool:
    """The same types and shapes; floats equal but for rounding, the rest exactly."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind in "biuO" or "int" in left.dtype.name:
        return _identical_arrays(left, right)
    tolerance = max(_LEAST_TOLERANCE, _UNITS_IN_LAST_PLACE * _epsilon(left.dtype))
    ours, theirs = left.astype(np.float64), right.astype(np.float64)
    finite = np.abs(theirs[np.isfinite(theirs)])
    scale = float(finite.max(initial=0.0))
    return np.allclose(
        ours, theirs, rtol=tolerance, atol=tolerance * scale, equal_nan=True
    )


def _identical_arrays(left: Array, right: Array) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype == object:
        return bool(left.tolist() == right.tolist())
    return left.tobytes() == right.tobytes()


def _epsilon(dtype: np.dtype[Any]) -> float:
    # ml_dtypes' finfo knows numpy's own types as well; it has no annotations.
    describe: Any = finfo
    return float(describe(dtype).eps)
