"""Names in a model that are not text: protobuf's Python reads them as bytes."""

from collections.abc import Iterator

from onnx import ModelProto, NodeProto, TensorProto

from app.engine.graph_walk import all_graphs, tensors
from app.errors import InvalidModel


def check_text(model: ModelProto) -> None:
    """InvalidModel if a name that is read later is not UTF-8."""
    for text in _texts(model):
        # The stubs promise str.
        if not isinstance(text, str):
            raise InvalidModel(
                "this file has a name that is not UTF-8 text; export it again"
            )


def _texts(model: ModelProto) -> Iterator[object]:
    yield from (model.producer_name, model.producer_version)
    for opset in model.opset_import:
        yield opset.domain
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    for function in model.functions:
        yield from (function.domain, function.name, function.overload)
    for info in (*model.graph.input, *model.graph.output):
        yield info.name
    for graph in all_graphs(model):
        for node in graph.node:
            yield from _of_node(node)
        for tensor in tensors(graph):
            yield from _of_tensor(tensor)


def _of_node(node: NodeProto) -> Iterator[object]:
    yield from (node.name, node.domain, node.op_type, node.overload)
    yield from node.input
    yield from node.output
    for attribute in node.attribute:
        yield from (attribute.name, attribute.ref_attr_name)


def _of_tensor(tensor: TensorProto) -> Iterator[object]:
    yield tensor.name
    for entry in tensor.external_data:
        yield from (entry.key, entry.value)
