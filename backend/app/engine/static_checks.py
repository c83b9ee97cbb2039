"""What a model file says before anything runs it, and what it must not say."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from app.engine.cost_bounds import has_bounded_cost
from app.engine.declared import check_declared
from app.engine.expansion import check_expansion
from app.engine.graph_walk import (
    Container,
    all_graphs,
    initializers,
    tensors,
)
from app.engine.operators import DOMAINS, check_operators
from app.engine.random_operators import RANDOM_OPERATORS
from app.engine.tensor_checks import check_tensors, is_external
from app.engine.text_check import check_text
from app.errors import InvalidModel

_MOST_NODES = 200_000
# What StringNormalizer takes where it names none.
_DEFAULT_LOCALE = b"en_US.UTF-8"
# How the runtime's own format begins, after four bytes.
_ORT_FORMAT = b"ORTM"
# Of the float attributes of ai.onnx.ml, the one that no prediction depends on.
_NO_PARAMETERS = "nodes_hitrates"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`external_files` hold tensors of the model; `locales` are asked for by nodes.

    `bounded_cost`: inputs of the same shapes cost the same, whatever their values.
    """

    node_count: int
    parameter_count: int
    random_operators: frozenset[str]
    external_files: frozenset[str]
    locales: frozenset[str]
    bounded_cost: bool


def parse(data: bytes) -> ModelProto:
    """InvalidModel if `data` is no ONNX model."""
    if not data:
        raise InvalidModel("this file is not an ONNX model (it is empty)")
    if data[4:8] == _ORT_FORMAT:
        raise InvalidModel(
            "this file is in ONNX Runtime's own format (.ort), which is not taken; send "
            "the .onnx file that it was made from"
        )
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise InvalidModel(
            "this file is not an ONNX model (it is of another kind, or cut short)"
        ) from None
    if not model.HasField("graph"):
        raise InvalidModel("this file is not an ONNX model (it has no graph)")
    if not model.graph.output:
        raise InvalidModel("this model has no outputs, so it cannot predict anything")
    return model


def check(
    model: ModelProto,
    companions: Mapping[str, int],
    *,
    size_bytes: int,
    domains: Collection[str] = DOMAINS,
) -> ModelFacts:
    """InvalidModel where loading would be unsafe, or must fail for lack of a file.

    `companions` are the files sent along and their sizes, `size_bytes` is what all
    files have. `domains` are those whose operators are allowed.
    """
    _check_node_count(model)
    check_text(model)
    check_declared(model)
    check_operators(model, domains)
    check_expansion(model)
    check_tensors(model, companions, size_bytes=size_bytes)
    facts = _facts(model)
    _check_companions(facts.external_files, companions)
    return facts


def _check_node_count(model: ModelProto) -> None:
    if sum(len(graph.node) for graph in all_graphs(model)) > _MOST_NODES:
        raise InvalidModel(
            f"this model has more than {_MOST_NODES:,} nodes, which is the limit"
        )


def _facts(model: ModelProto) -> ModelFacts:
    node_count = parameter_count = 0
    random: set[str] = set()
    external: set[str] = set()
    locales: set[str] = set()
    for graph in all_graphs(model):
        node_count += len(graph.node)
        parameter_count += sum(prod(tensor.dims) for tensor in initializers(graph))
        parameter_count += sum(map(_own_parameters, graph.node))
        external.update(_locations(graph))
        random.update(_random_operators(graph))
        locales.update(_locales(graph))
    return ModelFacts(
        node_count,
        parameter_count,
        frozenset(random),
        frozenset(external),
        frozenset(locales),
        has_bounded_cost(model),
    )


def _own_parameters(node: NodeProto) -> int:
    """Those of a classical model, which its operator holds in attributes."""
    if node.domain != "ai.onnx.ml":
        return 0
    count = 0
    for item in node.attribute:
        if not item.name.startswith(_NO_PARAMETERS):
            in_tensor: int = prod(item.t.dims) if item.HasField("t") else 0
            count += len(item.floats) + in_tensor
    return count


def _locations(graph: Container) -> Iterator[str]:
    for tensor in tensors(graph):
        if not is_external(tensor):
            continue
        found = [item.value for item in tensor.external_data if item.key == "location"]
        if len(found) != 1:
            raise InvalidModel(
                f'the tensor "{tensor.name}" lies in another file, but names '
                f"{len(found)} files instead of one; export the model again"
            )
        yield found[0]


def _random_operators(graph: Container) -> Iterator[str]:
    fixed_to_false = _fixed_to_false(graph)
    for node in graph.node:
        if node.op_type in RANDOM_OPERATORS:
            yield node.op_type
        elif node.op_type == "Dropout" and _may_train(node, fixed_to_false):
            yield "Dropout in training mode"


def _may_train(node: NodeProto, fixed_to_false: Collection[str]) -> bool:
    has_mode = len(node.input) > 2 and node.input[2] != ""
    return has_mode and node.input[2] not in fixed_to_false


def _fixed_to_false(graph: Container) -> set[str]:
    found = {tensor.name for tensor in initializers(graph) if _is_false(tensor)}
    for node in graph.node:
        value = [item for item in node.attribute if item.type == AttributeProto.TENSOR]
        is_constant = node.op_type == "Constant" and node.output and value
        # The value of one that refers to an attribute is the caller's.
        if is_constant and not value[0].ref_attr_name and _is_false(value[0].t):
            found.add(node.output[0])
    return found


def _is_false(tensor: TensorProto) -> bool:
    if tensor.data_type != TensorProto.BOOL or tensor.external_data:
        return False
    return not any(tensor.raw_data) and not any(tensor.int32_data)


def _locales(graph: Container) -> Iterator[str]:
    for node in graph.node:
        if node.op_type == "StringNormalizer":
            named = [item.s for item in node.attribute if item.name == "locale"]
            for name in named or [_DEFAULT_LOCALE]:
                yield name.decode("utf-8", "replace")


def _check_companions(external: Collection[str], companions: Collection[str]) -> None:
    missing = sorted(set(external) - set(companions))
    unused = sorted(set(companions) - set(external))
    if missing and unused:
        raise InvalidModel(
            f"this model refers to `{missing[0]}`, but `{unused[0]}` came: send it with "
            f"filename={missing[0]}"
        )
    if missing:
        raise InvalidModel(
            f"this model refers to `{missing[0]}`; send that file too as a second part "
            "named `data`, or export with external_data=False"
        )
    if unused:
        raise InvalidModel(
            f"the file `{unused[0]}` was sent too, but the model does not refer to it; "
            "leave it out, or send the files of one export together"
        )
