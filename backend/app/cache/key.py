"""The name of a prediction: everything that changes the answer and nothing else."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from app.engine.values import Tensors

DIGEST_BYTES = 16
COPY_MAX_BYTES = 32768  # Up to here copying a tensor costs no more than viewing it.


class CacheKey(NamedTuple):
    """A tuple, and so hashed and compared in C: the warm path does both."""

    version_id: str
    epoch: int
    digest: bytes


def cache_key(
    version_id: str, epoch: int, inputs: Tensors, outputs: Sequence[str] | None
) -> CacheKey:
    """The key of one prediction.

    Inputs count by name, dtype, shape and bytes, in any order. The order of
    `outputs` counts, since the answer comes in that order.
    """
    hasher = blake3()
    for name in sorted(inputs) if len(inputs) > 1 else inputs:
        value = inputs[name]
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            hasher.update(_tensor_head(name, value.dtype, value.shape))
            hasher.update(_buffer(value))
        else:
            hasher.update(_sized(b"V", name.encode("utf-8", "surrogatepass")))
            _feed(hasher, value)
    if outputs is not None:
        hasher.update(_wanted(tuple(outputs)))
    return CacheKey(version_id, epoch, hasher.digest(DIGEST_BYTES))


@lru_cache(maxsize=1024)
def _tensor_head(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    return _sized(b"T", name.encode("utf-8", "surrogatepass")) + _kind(dtype, shape)


@lru_cache(maxsize=1024)
def _wanted(outputs: tuple[str, ...]) -> bytes:
    names = (name.encode("utf-8", "surrogatepass") for name in outputs)
    return b"W%d;" % len(outputs) + b"".join(_sized(b"s", name) for name in names)


def _kind(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    # `name` tells ml_dtypes' types apart, `str` the byte orders; neither does both.
    return f"{dtype.name}{dtype.str}{shape};".encode()


def _sized(tag: bytes, data: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(data), data)


def _buffer(array: np.ndarray[Any, Any]) -> Any:
    """The array's bytes in C order; Any because no type covers all buffers."""
    if array.nbytes <= COPY_MAX_BYTES or not array.flags.c_contiguous:
        return array.tobytes()
    return array.reshape(-1).view(np.uint8)


def _feed(hasher: blake3, value: Any) -> None:
    """Hashes any value, each tagged and sized, so that no two read the same."""
    if isinstance(value, np.ndarray):
        hasher.update(b"A" + _kind(value.dtype, value.shape))
        if value.dtype.hasobject:
            hasher.update(b"".join(map(_scalar, value.ravel().tolist())))
        else:
            hasher.update(_buffer(value))
    elif isinstance(value, list):
        hasher.update(b"L%d;" % len(value))
        for item in value:
            _feed(hasher, item)
    elif isinstance(value, dict):
        hasher.update(b"M%d;" % len(value))
        for map_key in sorted(value, key=_scalar):
            hasher.update(_scalar(map_key))
            _feed(hasher, value[map_key])
    else:
        hasher.update(_scalar(value))


def _scalar(value: Any) -> bytes:
    if isinstance(value, str):
        return _sized(b"s", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return _sized(b"b", value)
    if value is None:
        return b"N;"
    if isinstance(value, bool | int | float):
        return _sized(type(value).__name__.encode(), repr(value).encode())
    raise TypeError(f"{type(value).__name__} can be no part of a cache key")
