"""Tensors that are written as a few of their elements.

ONNX Runtime writes them out while it loads a model, each element where its index says.
"""

from math import prod

import numpy as np
from onnx import ModelProto, SparseTensorProto, TensorProto

from app.engine.graph_walk import all_graphs, sparse_tensors
from app.engine.tensors import BY_CODE
from app.engine.values import Array
from app.errors import InvalidModel

_WIDEST_ELEMENT_BITS = 128


def check_sparse(model: ModelProto, *, most_bytes: int, size_bytes: int) -> None:
    """InvalidModel where they grow too large, or an index lies outside of its shape.

    `size_bytes` is what the files have. Every dense tensor must have been checked.
    """
    dense = 0
    for graph in all_graphs(model):
        for sparse in sparse_tensors(graph):
            dense += _dense_bytes(sparse)
            if dense > most_bytes:
                raise InvalidModel(
                    f"this model's sparse tensors have {dense:,} bytes once they are "
                    f"written out; {most_bytes:,} is the limit for a model of "
                    f"{size_bytes:,} bytes"
                )
            _check_indices(sparse)


def _dense_bytes(sparse: SparseTensorProto) -> int:
    if any(dim < 0 for dim in sparse.dims):
        raise _bad(sparse, f"has a negative dimension: {list(sparse.dims)}")
    element = BY_CODE.get(sparse.values.data_type)
    # A string's own bytes are in the file; it takes as much room when it is empty.
    is_known = element is not None and not element.is_string
    bits = element.bits if element and is_known else 2 * _WIDEST_ELEMENT_BITS
    elements: int = prod(sparse.dims)
    return elements * bits // 8


def _check_indices(sparse: SparseTensorProto) -> None:
    values, indices = sparse.values, sparse.indices
    if len(values.dims) != 1:
        raise _bad(sparse, "has values that are no list")
    count = values.dims[0]
    if list(indices.dims) not in ([count], [count, len(sparse.dims)]):
        raise _bad(sparse, f"has {count:,} values and not as many indices")
    found = _integers(sparse, indices)
    is_flat = len(indices.dims) == 1
    ends: list[int] = [prod(sparse.dims)] if is_flat else list(sparse.dims)
    by_axis = found.reshape(count, len(ends))
    if count and ((by_axis < 0) | (by_axis >= np.array(ends, np.int64))).any():
        raise _bad(sparse, f"has an index outside of its shape {list(sparse.dims)}")


def _integers(sparse: SparseTensorProto, indices: TensorProto) -> Array:
    if indices.data_type != TensorProto.INT64 or indices.external_data:
        raise _bad(sparse, "has indices that are no int64 in the file itself")
    if indices.HasField("raw_data"):
        return np.frombuffer(indices.raw_data, "<i8")
    return np.array(indices.int64_data, np.int64)


def _bad(sparse: SparseTensorProto, what: str) -> InvalidModel:
    name = sparse.values.name
    return InvalidModel(f'the sparse tensor "{name}" {what}; export the model again')
