"""Values of every kind that a model takes or gives, made by hypothesis."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.engine.tensors import ELEMENT_TYPES, ElementType

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
texts = st.one_of(names, st.binary(max_size=8))
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def _array(element: ElementType, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    size = int(np.prod(shape, dtype=int))
    if element.is_string:
        return st.lists(texts, min_size=size, max_size=size).map(
            lambda items: _object_array(items, shape)
        )
    # Any bit pattern, so NaNs of every kind; a boolean's are 0 and 1 alone.
    length = size * element.dtype.itemsize
    raw = st.binary(min_size=length, max_size=length)
    if element.name == "bool":
        raw = raw.map(lambda data: bytes(byte & 1 for byte in data))
    return raw.map(lambda data: np.frombuffer(data, element.dtype).reshape(shape))


def _object_array(items: list[str | bytes], shape: tuple[int, ...]) -> Any:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


arrays = st.tuples(st.sampled_from(ELEMENT_TYPES), shapes).flatmap(
    lambda drawn: _array(*drawn)
)
scalars = st.one_of(st.booleans(), st.integers(), st.floats(), names, st.binary())
map_keys = st.one_of(names, st.integers(-(2**63), 2**63 - 1))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(map_keys, st.one_of(inner, scalars), max_size=3),
    ),
    max_leaves=5,
)
rows = st.lists(map_keys, min_size=1, max_size=3, unique=True).flatmap(
    lambda columns: st.lists(
        st.fixed_dictionaries({name: st.floats() for name in columns}),
        min_size=1,
        max_size=4,
    )
)
tensors = st.dictionaries(names, values, max_size=3)


def image(value: Any) -> Any:
    """A plain form that is equal exactly when two values are the same to the bit."""
    if isinstance(value, np.ndarray):
        data = value.tolist() if value.dtype.hasobject else value.tobytes()
        return ("array", value.dtype.name, value.shape, data)
    if isinstance(value, list):
        return ("list", [image(item) for item in value])
    if isinstance(value, dict):
        return ("map", {(type(n), n): image(item) for n, item in value.items()})
    if isinstance(value, float):
        return ("float", np.float64(value).tobytes())
    return (type(value), value)
