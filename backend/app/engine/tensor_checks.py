"""The tensors in a model file: their shapes, and whether their data fits those.

All arithmetic is on Python's integers, which no product of dimensions overflows.
"""

from collections.abc import Iterator, Mapping
from math import prod

from onnx import ModelProto, TensorProto

from app.engine.graph_walk import all_graphs, tensors
from app.engine.sparse_checks import check_sparse
from app.engine.tensors import BY_CODE, ElementType
from app.errors import InvalidModel

MOST_AXES = 64
# Tensors can share the bytes of a file, and small integers are packed in it.
_TENSOR_BYTES = 64 * 2**20
_TENSOR_BYTES_PER_FILE_BYTE = 16
_MOST_BYTES = 2**63
_EXTERNAL_KEYS = frozenset({"offset", "length", "checksum"})
_LONGEST_NUMBER = 20

# The field that holds the elements of a type where `raw_data` does not.
_FIELDS: Mapping[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.STRING: "string_data",
}
_FIELD_OF_OTHERS = "int32_data"


def check_tensors(
    model: ModelProto, companions: Mapping[str, int], *, size_bytes: int
) -> None:
    """InvalidModel if one is not what its data can be, or all are too large.

    `companions` are the files sent along and their sizes, `size_bytes` is what all
    files have.
    """
    most = max(_TENSOR_BYTES, _TENSOR_BYTES_PER_FILE_BYTE * size_bytes)
    total = 0
    for tensor in _all_tensors(model):
        total += _checked_bytes(tensor, companions)
        if total > most:
            raise InvalidModel(
                f"this model's tensors have more than {most:,} bytes, which is the "
                f"limit for a model of {size_bytes:,} bytes"
            )
    check_sparse(model, most_bytes=most, size_bytes=size_bytes)


def is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    for graph in all_graphs(model):
        yield from tensors(graph)


def _checked_bytes(tensor: TensorProto, companions: Mapping[str, int]) -> int:
    """What it takes as the elements of its type."""
    if len(tensor.dims) > MOST_AXES:
        raise _bad(tensor, f"has {len(tensor.dims)} axes; {MOST_AXES} is the limit")
    if any(dim < 0 for dim in tensor.dims):
        raise _bad(tensor, f"has a negative dimension: {_shape(tensor)}")
    if tensor.HasField("segment"):
        raise _bad(tensor, "is a segment of another, which is not supported")
    element = BY_CODE.get(tensor.data_type)
    if element is None:
        raise _bad(
            tensor,
            f"has elements of type {tensor.data_type}, which ONNX Runtime cannot run "
            "on the CPU",
        )
    elements: int = prod(tensor.dims)
    size_bytes = -(-elements * element.bits // 8)
    if is_external(tensor):
        _check_span(tensor, element, size_bytes, companions)
    else:
        _check_own_data(tensor, element, elements, size_bytes)
    return size_bytes


def _check_own_data(
    tensor: TensorProto, element: ElementType, elements: int, size_bytes: int
) -> None:
    if tensor.HasField("raw_data") and not element.is_string:
        found = len(tensor.raw_data)
        if found != size_bytes:
            raise _bad(
                tensor,
                f"has {found:,} bytes of data, and its shape {_shape(tensor)} of "
                f"{element.name} wants {size_bytes:,}",
            )
        return
    found = len(getattr(tensor, _FIELDS.get(tensor.data_type, _FIELD_OF_OTHERS)))
    # Elements of less than a byte may be packed, or stand alone.
    fewest = size_bytes if element.bits < 8 else elements
    if not fewest <= found <= elements:
        raise _bad(
            tensor,
            f"has {found:,} elements of data, and its shape {_shape(tensor)} wants "
            f"{elements:,}",
        )


def _check_span(
    tensor: TensorProto,
    element: ElementType,
    size_bytes: int,
    companions: Mapping[str, int],
) -> None:
    """That it lies whole within its file, if that file came."""
    if element.is_string:
        raise _bad(tensor, "has strings in another file, which is not supported")
    entries = {item.key: item.value for item in tensor.external_data}
    keys = [item.key for item in tensor.external_data if item.key != "location"]
    if not _EXTERNAL_KEYS.issuperset(keys) or len(set(keys)) < len(keys):
        raise _bad(
            tensor,
            "says where its data lies by something other than one location, offset, "
            "length and checksum",
        )
    offset = _number(tensor, "offset", entries.get("offset", "0"))
    length = _number(tensor, "length", entries.get("length", str(size_bytes)))
    if length != size_bytes:
        raise _bad(
            tensor,
            f"has {length:,} bytes of data, and its shape {_shape(tensor)} of "
            f"{element.name} wants {size_bytes:,}",
        )
    location = entries.get("location", "")
    file_bytes = companions.get(location)
    if file_bytes is not None and offset + size_bytes > file_bytes:
        raise _bad(
            tensor,
            f"has its data out of bounds of `{location}`, which has {file_bytes:,} "
            f"bytes: {size_bytes:,} from {offset:,} on",
        )


def _number(tensor: TensorProto, key: str, text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
    if not is_number or int(text) >= _MOST_BYTES:
        raise _bad(tensor, f"has no number of bytes as the {key} of its data")
    return int(text)


def _shape(tensor: TensorProto) -> str:
    return str(list(tensor.dims))


def _bad(tensor: TensorProto, what: str) -> InvalidModel:
    return InvalidModel(f'the tensor "{tensor.name}" {what}; export the model again')
