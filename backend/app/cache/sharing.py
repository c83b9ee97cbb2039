"""What a prediction needs before many callers may hold it: a weight and a lock."""

from sys import getsizeof
from typing import Any

import numpy as np

from app.cache.base import Outputs

# What an array takes beside its data.
_ARRAY_BYTES = 160


def footprint(value: Any, *, limit: int) -> int:
    """Bytes of memory a value takes, objects included; stops counting past `limit`.

    The data alone would not do: a thousand small maps weigh ten times their numbers.
    """
    if isinstance(value, dict) and all(map(_is_plain, value.values())):
        return getsizeof(value) + sum(map(_plain_size, value.items()))
    total = 0
    left = [value]
    while left and total <= limit:
        item = left.pop()
        total += getsizeof(item)
        if isinstance(item, np.ndarray):
            total += 0 if item.flags.owndata else item.nbytes
            if item.dtype.hasobject and total <= limit:
                left.extend(item.flat)
        elif isinstance(item, list):
            left.extend(item)
        elif isinstance(item, dict):
            left.extend(item)
            left.extend(item.values())
    return total


def freeze(outputs: Outputs, *, copy: bool) -> Outputs:
    """The outputs with read-only arrays, fit to be shared by many callers.

    Arrays that own their memory are themselves made read-only. Those that view
    memory are copied if `copy`: what they view belongs to somebody else (a body, a
    batch, ONNX Runtime's arena), who may change it, or whom a small entry would
    keep whole in memory.
    """
    return {name: _frozen(value, copy=copy) for name, value in outputs.items()}


def _is_plain(value: Any) -> bool:
    return type(value) is np.ndarray and not value.dtype.hasobject


def _plain_size(item: tuple[Any, Any]) -> int:
    name, array = item
    return getsizeof(name) + _ARRAY_BYTES + int(array.nbytes)


def _frozen(value: Any, *, copy: bool) -> Any:
    if isinstance(value, np.ndarray):
        if value.base is not None:
            value = value.copy() if copy else value.view()
        value.setflags(write=False)
        return value
    if isinstance(value, list):
        return [_frozen(item, copy=copy) for item in value]
    if isinstance(value, dict):
        return {name: _frozen(item, copy=copy) for name, item in value.items()}
    return value
