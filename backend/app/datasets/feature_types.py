"""The types that a model's features have in a result."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from app.codecs.json_tensors import NON_FINITE
from app.engine.tensors import ElementType


def feature_type(element: ElementType | None) -> Any:
    """Numbers or truth values, as the model takes them; all else is text."""
    if element is None or element.is_string:
        return pa.string()
    if element.name == "bool":
        return pa.bool_()
    if element.name == "uint64":
        return pa.uint64()
    return pa.float64() if element.is_float else pa.int64()


def numbers_as(values: Sequence[Any], kind: Any) -> Any:
    """Null for what is none; the error beside the row tells."""
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([_as_number(value, kind) for value in values], kind)


def _as_number(value: Any, kind: Any) -> Any:
    if isinstance(value, str):
        value = NON_FINITE.get(value)
    if pa.types.is_boolean(kind) and value in (0, 1):
        return bool(value)
    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
