"""Shapes that nested lists cannot say: whatever follows a dimension of 0 is lost in `[]`.

Requests may give such a tensor as `{"shape": [0, 4], "data": []}`; answers say it in
`output_shapes`, so that `output_data` always holds nested lists.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import numpy as np

from app.codecs.json_tensors import Index, Place, build_tensor
from app.codecs.oip_tensors import check_shape
from app.engine.tensors import ElementType
from app.engine.values import Array, Value
from app.errors import InvalidInput

FIELDS: Final = frozenset({"shape", "data"})


def is_shaped(data: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is a tensor with its shape beside its data."""
    return isinstance(data, dict) and data.keys() == FIELDS


def build_shaped(data: Mapping[str, Any], element: ElementType, place: Place) -> Array:
    """`data` may be nested as its shape says, or flat and row-major."""
    given, name = data["shape"], place(())
    if not isinstance(given, list):
        raise InvalidInput(f"{name}: shape must be a list of whole numbers.")
    shape = check_shape(given, name)

    def inside(index: Index) -> str:
        return f"{name}.data{''.join(f'[{i}]' for i in index)}"

    tensor = build_tensor(data["data"], element, inside)
    if tensor.size != np.prod(shape, dtype=object):
        raise InvalidInput(
            f"{name}: a tensor of shape {list(shape)} holds "
            f"{np.prod(shape, dtype=object)} elements, data has {tensor.size}."
        )
    if tensor.size and tensor.ndim != 1 and tensor.shape != shape:
        raise InvalidInput(
            f"{name}: data is nested as {list(tensor.shape)}, but shape says "
            f"{list(shape)}; send it nested alike, or flat."
        )
    return tensor.reshape(shape)


def unsaid_shapes(outputs: Mapping[str, Value]) -> dict[str, Any]:
    """By name, the shapes that cannot be read off the outputs' nested lists."""
    found: dict[str, Any] = {}
    for name, value in outputs.items():
        if isinstance(value, np.ndarray):
            if value.size == 0 and _is_unsaid(value):
                found[name] = value.shape
        elif isinstance(value, list) and any(map(_is_unsaid, value)):
            found[name] = [item.shape for item in value if isinstance(item, np.ndarray)]
    return found


def _is_unsaid(value: object) -> bool:
    return isinstance(value, np.ndarray) and 0 in value.shape[:-1]
