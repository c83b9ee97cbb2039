"""Short lists of plain numbers, which most requests are, as tensors.

A list of so few is looked through in less time than numpy takes to begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from app.engine.tensors import ElementType
    from app.engine.values import Array

# From here on a float may stand for several whole numbers, and JSON integers of more
# than 64 bits are read as floats.
EXACT_FLOAT: Final = 2.0**53
# Greater numbers overflow when they are cast.
_SAFE_LIMITS: Final = {
    "float32": float(np.finfo(np.float32).max),
    "float64": float(np.finfo(np.float64).max),
}
_NUMBERS: Final = {float, int}
_FEW: Final = 256


def few_floats(data: object, element: ElementType) -> Array | None:
    """A flat list, or one row, of numbers that no cast can spoil; None for the rest.

    Most requests are one such row, and these few looks cost a third of numpy's.
    """
    limit = _SAFE_LIMITS.get(element.name)
    if limit is None or type(data) is not list or not data:
        return None
    row = data[0] if type(data[0]) is list and len(data) == 1 else data
    if not 0 < len(row) <= _FEW:
        return None
    kinds = set(map(type, row))
    if not kinds <= _NUMBERS:
        return None
    if int in kinds:
        limit = EXACT_FLOAT
    if -limit < min(row) and max(row) < limit:
        return np.array(data, element.dtype)
    return None
