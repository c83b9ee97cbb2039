"""The names in a model: text, of bounded length, that cannot steer a terminal or a log.

Protobuf's Python reads what is no text as bytes.
"""

import re
from collections.abc import Iterable, Iterator

from onnx import ModelProto, NodeProto

from app.engine.graph_walk import all_graphs, tensors
from app.errors import InvalidModel

# Exporters name nodes by the path of the code that they came from.
_LONGEST_INNER_NAME = 4096
# These are what callers write: names of inputs, outputs and files.
_LONGEST_NAME = 256
_METADATA_BYTES = 2**20
# Control characters, and those that turn the direction of what is shown after them.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def check_text(model: ModelProto) -> None:
    """InvalidModel if a name that is read later is no such text."""
    _check(_inner_names(model), _LONGEST_INNER_NAME)
    _check(_shown_names(model), _LONGEST_NAME)
    _check_metadata(model)


def _check(names: Iterable[object], longest: int) -> None:
    for name in names:
        text = _text(name)
        if len(text) > longest:
            raise InvalidModel(
                f"this file has a name of {len(text):,} characters, which begins with "
                f'"{_begin(text)}"; {longest:,} is the limit'
            )
        if not text.isprintable() and _STEERING.search(text):
            raise InvalidModel(
                f"this file has a name with a control character in it, "
                f"{_begin(text)!r}; export it again under another name"
            )


def _text(name: object) -> str:
    # The stubs promise str.
    if not isinstance(name, str):
        raise InvalidModel(
            "this file has a name that is not UTF-8 text; export it again"
        )
    return name


def _begin(text: str) -> str:
    return _STEERING.sub("?", text[:40])


def _check_metadata(model: ModelProto) -> None:
    size_bytes = sum(
        len(_text(text).encode())
        for entry in model.metadata_props
        for text in (entry.key, entry.value)
    )
    if size_bytes > _METADATA_BYTES:
        raise InvalidModel(
            f"this model's metadata has {size_bytes:,} bytes; {_METADATA_BYTES:,} is "
            "the limit"
        )


def _shown_names(model: ModelProto) -> Iterator[object]:
    yield from (model.producer_name, model.producer_version)
    for opset in model.opset_import:
        yield opset.domain
    for info in (*model.graph.input, *model.graph.output):
        yield info.name
        for dim in info.type.tensor_type.shape.dim:
            yield dim.dim_param
    for graph in all_graphs(model):
        for tensor in tensors(graph):
            for entry in tensor.external_data:
                yield from (entry.key, entry.value)


def _inner_names(model: ModelProto) -> Iterator[object]:
    for function in model.functions:
        yield from (function.domain, function.name, function.overload)
    for graph in all_graphs(model):
        for node in graph.node:
            yield from _of_node(node)
        for tensor in tensors(graph):
            yield tensor.name


def _of_node(node: NodeProto) -> Iterator[object]:
    yield from (node.name, node.domain, node.op_type, node.overload)
    yield from node.input
    yield from node.output
    for attribute in node.attribute:
        yield from (attribute.name, attribute.ref_attr_name)
