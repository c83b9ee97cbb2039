"""What a model declares beside its nodes: versions, inputs, outputs and their shapes."""

from collections.abc import Iterable, Iterator
from math import prod

import onnx
from onnx import GraphProto, ModelProto, TypeProto, ValueInfoProto

from app.engine.graph_walk import all_graphs
from app.engine.tensor_checks import MOST_AXES
from app.errors import InvalidModel

# Pipelines have an input for each column, language models one for each layer's cache.
_MOST_VALUES = 2048
# Far beyond all memory, and far below where 64 bits overflow.
_MOST_ELEMENTS = 2**40
# Old exporters write a free dimension so.
_FREE = -1
# Where ONNX's table of releases has the version of ai.onnx.ml.
_ML_COLUMN = 3
_STANDARD_DOMAINS = ("", "ai.onnx.ml")


def check_declared(model: ModelProto) -> None:
    """InvalidModel for versions not known here, and for too many or too large values."""
    if model.training_info:
        raise InvalidModel(
            "this model has information for training; export it for inference"
        )
    _check_versions(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in weights]
    _check_values("inputs", inputs)
    _check_values("outputs", model.graph.output)
    for info in _value_infos(model):
        _check_shape(info)


def _check_versions(model: ModelProto) -> None:
    if not 1 <= model.ir_version <= onnx.IR_VERSION:
        raise InvalidModel(
            f"this file has version {model.ir_version} of ONNX's format; versions 1 to "
            f"{onnx.IR_VERSION} are known: export it for one of them"
        )
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if domain not in _STANDARD_DOMAINS:
            continue
        newest = _newest_opset(domain)
        if not 1 <= opset.version <= newest:
            raise InvalidModel(
                f"this model wants version {opset.version} of the operators of "
                f"{domain or 'ai.onnx'}; versions 1 to {newest} are known: export it "
                "for one of them"
            )


def _newest_opset(domain: str) -> int:
    if not domain:
        return int(onnx.defs.onnx_opset_version())
    return max(int(release[_ML_COLUMN]) for release in onnx.helper.VERSION_TABLE)


def _check_values(what: str, infos: Iterable[ValueInfoProto]) -> None:
    names = [info.name for info in infos]
    if len(names) > _MOST_VALUES:
        raise InvalidModel(
            f"this model has {len(names):,} {what}; {_MOST_VALUES:,} is the limit"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidModel(f'this model has "{twice}" twice among its {what}')
    if "" in names:
        raise InvalidModel(f"one of this model's {what} has no name")


def _value_infos(model: ModelProto) -> Iterator[ValueInfoProto]:
    for graph in all_graphs(model):
        yield from graph.value_info
        if isinstance(graph, GraphProto):
            yield from (*graph.input, *graph.output)


def _check_shape(info: ValueInfoProto) -> None:
    for declared in _shapes(info.type):
        dims = [dim.dim_value for dim in declared.dim if dim.HasField("dim_value")]
        if any(dim < _FREE for dim in dims):
            raise InvalidModel(f'"{_name(info)}" has a negative dimension: {dims}')
        elements = prod(dim for dim in dims if dim > 0)
        if elements > _MOST_ELEMENTS:
            raise InvalidModel(
                f'"{_name(info)}" has a shape of more than {_MOST_ELEMENTS:,} elements, '
                "which is the limit"
            )
        if len(declared.dim) > MOST_AXES:
            raise InvalidModel(
                f'"{_name(info)}" has {len(declared.dim)} axes; {MOST_AXES} is the limit'
            )


def _shapes(of: TypeProto) -> Iterator[onnx.TensorShapeProto]:
    """Those of a tensor, and of the tensors that a sequence, map or optional holds."""
    while True:
        match of.WhichOneof("value"):
            case "sequence_type":
                of = of.sequence_type.elem_type
            case "optional_type":
                of = of.optional_type.elem_type
            case "map_type":
                of = of.map_type.value_type
            case "tensor_type":
                yield of.tensor_type.shape
                return
            case "sparse_tensor_type":
                yield of.sparse_tensor_type.shape
                return
            case _:
                return


def _name(info: ValueInfoProto) -> str:
    return info.name[:80]
