"""The parts of a parsed model, without recursion: the files may be hostile."""

from collections.abc import Iterator
from typing import TypeAlias

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    SparseTensorProto,
    TensorProto,
)

from app.errors import InvalidModel

Container: TypeAlias = GraphProto | FunctionProto

_DEEPEST_NESTING = 16


def all_graphs(model: ModelProto) -> Iterator[Container]:
    """The main graph, the functions, and every graph inside their nodes."""
    for container in (model.graph, *model.functions):
        yield from graphs_within(container)


def graphs_within(container: Container) -> Iterator[Container]:
    """`container` and every graph in its attributes, however deep."""
    waiting: list[tuple[Container, int]] = [(container, 0)]
    while waiting:
        graph, depth = waiting.pop()
        if depth > _DEEPEST_NESTING:
            raise InvalidModel(
                f"this model nests graphs more than {_DEEPEST_NESTING} deep, "
                "which is not supported"
            )
        yield graph
        for attribute in attributes(graph):
            waiting.extend((inner, depth + 1) for inner in _graphs_of(attribute))


def attributes(container: Container) -> Iterator[AttributeProto]:
    """Those of its nodes, and the defaults of a function, which its nodes refer to."""
    if isinstance(container, FunctionProto):
        yield from container.attribute_proto
    for node in container.node:
        yield from node.attribute


def initializers(graph: Container) -> Iterator[TensorProto]:
    """The constants that the graph lists; of sparse ones, their values."""
    if isinstance(graph, GraphProto):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values


def tensors(graph: Container) -> Iterator[TensorProto]:
    """Every tensor this graph holds itself, in initializers and attributes."""
    if isinstance(graph, GraphProto):
        yield from graph.initializer
    for attribute in attributes(graph):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
    for sparse in sparse_tensors(graph):
        yield from (sparse.values, sparse.indices)


def sparse_tensors(graph: Container) -> Iterator[SparseTensorProto]:
    """As `tensors`, those that are written as a few of their elements."""
    if isinstance(graph, GraphProto):
        yield from graph.sparse_initializer
    for attribute in attributes(graph):
        yield from attribute.sparse_tensors
        if attribute.HasField("sparse_tensor"):
            yield attribute.sparse_tensor


def _graphs_of(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs
