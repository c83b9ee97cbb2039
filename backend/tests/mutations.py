"""Model files changed at random, the same ones for the same seed."""

import random
from collections.abc import Callable, Iterator, Sequence

from google.protobuf.message import DecodeError, EncodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from tests import graphs, hostile

# Where sizes, counts and signs go wrong.
_EDGES = (
    *(0, 1, -1, 2, 3, 127, 255, 65_536, 2**31 - 1, -(2**31), 2**31, 2**32),
    *(2**40, 2**62, 2**63 - 1, -(2**63)),
)
_OPERATORS = (
    *("Add", "Concat", "Conv", "Expand", "Gather", "GatherND", "Gemm", "If", "LSTM"),
    *("Loop", "MatMul", "MaxPool", "OneHot", "Pad", "Range", "Reshape", "Resize"),
    *("Scan", "ScatterND", "Slice", "Split", "Tile", "TopK", "Transpose", "Unique"),
)


def seeds() -> list[bytes]:
    """Good models of many kinds, which mutations begin from."""
    made = [
        graphs.add_one(),
        graphs.affine(),
        graphs.two_inputs(),
        graphs.strings_upper(),
        graphs.classifier_zipmap(("a", "b")),
        graphs.random_in_branch(),
        graphs.random_in_a_default(),
        graphs.counted_loop(),
        graphs.expanded(),
        graphs.sequence_identity(),
        graphs.optional_identity(),
        graphs.map_input(),
        graphs.columns(3),
        graphs.row_mean(),
        graphs.lookups(2, rows=3),
        graphs.hang_on_load(3),
        graphs.float16_double(),
        graphs.bf16_identity(),
    ]
    return [*made, hostile.in_sparse_attribute(_one()), hostile.in_function(_one())]


def mutants(seed: int) -> Iterator[bytes]:
    """Without end."""
    rng = random.Random(seed)
    pool = seeds()
    while True:
        data = rng.choice(pool)
        for _ in range(rng.randint(1, 4)):
            data = _by_field(rng, data) if rng.random() < 0.7 else _by_byte(rng, data)
        yield data


def _one() -> TensorProto:
    return hostile.tensor([1], raw=bytes(4))


def _by_byte(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    at = rng.randrange(len(changed) or 1)
    match rng.randrange(4):
        case 0 if changed:
            changed[at] ^= 1 << rng.randrange(8)
        case 1:
            changed[at:at] = rng.randbytes(rng.randint(1, 8))
        case 2:
            del changed[at : at + rng.randint(1, 8)]
        case _:
            other = rng.randrange(len(changed) or 1)
            changed[at:at] = changed[other : other + rng.randint(1, 64)]
    return bytes(changed)


def _by_field(rng: random.Random, data: bytes) -> bytes:
    model = ModelProto()
    try:
        model.ParseFromString(data)
        rng.choice(_CHANGES)(rng, model)
        return bytes(model.SerializeToString())
    except (DecodeError, EncodeError, IndexError, ValueError):
        return data


def _graph(rng: random.Random, model: ModelProto) -> GraphProto:
    """The main one, or one within."""
    graph = model.graph
    inner = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    found: GraphProto = rng.choice([graph, *inner])
    return found


def _node(rng: random.Random, model: ModelProto) -> NodeProto:
    functions = [node for function in model.functions for node in function.node]
    found: NodeProto = rng.choice([*_graph(rng, model).node, *functions])
    return found


def _change_dims(rng: random.Random, model: ModelProto) -> None:
    tensor = rng.choice(_graph(rng, model).initializer)
    tensor.dims[:] = [rng.choice(_EDGES) for _ in range(rng.randint(0, 4))]


def _change_data(rng: random.Random, model: ModelProto) -> None:
    tensor = rng.choice(_graph(rng, model).initializer)
    if tensor.raw_data:
        tensor.raw_data = rng.randbytes(len(tensor.raw_data))
    elif tensor.int64_data:
        tensor.int64_data[:] = [rng.choice(_EDGES) for _ in tensor.int64_data]


def _change_type(rng: random.Random, model: ModelProto) -> None:
    graph = _graph(rng, model)
    if rng.random() < 0.5:
        rng.choice(graph.initializer).data_type = rng.randint(0, 27)
    else:
        info = rng.choice([*graph.input, *graph.output])
        info.type.tensor_type.elem_type = rng.randint(0, 27)


def _change_shape(rng: random.Random, model: ModelProto) -> None:
    graph = _graph(rng, model)
    info = rng.choice([*graph.input, *graph.output, *graph.value_info])
    dims = info.type.tensor_type.shape.dim
    if dims and rng.random() < 0.7:
        rng.choice(dims).dim_value = rng.choice(_EDGES)
    else:
        dims.add(dim_value=rng.choice(_EDGES))


def _change_attribute(rng: random.Random, model: ModelProto) -> None:
    attribute = rng.choice(_node(rng, model).attribute)
    match rng.randrange(3):
        case 0:
            attribute.i = rng.choice(_EDGES)
        case 1:
            attribute.ints[:] = [rng.choice(_EDGES) for _ in range(rng.randint(0, 5))]
        case _:
            attribute.type = rng.choice(AttributeProto.AttributeType.values())


def _add_attribute(rng: random.Random, model: ModelProto) -> None:
    names = ("axis", "axes", "pads", "strides", "kernel_shape", "group", "perm", "to")
    edges = [rng.choice(_EDGES) for _ in range(rng.randint(0, 4))]
    node = _node(rng, model)
    kind = AttributeProto.INTS if rng.random() < 0.5 else AttributeProto.INT
    node.attribute.add(
        name=rng.choice(names), type=kind, i=rng.choice(_EDGES), ints=edges
    )


def _change_operator(rng: random.Random, model: ModelProto) -> None:
    _node(rng, model).op_type = rng.choice(_OPERATORS)


def _rewire(rng: random.Random, model: ModelProto) -> None:
    one, other = _node(rng, model), _node(rng, model)
    names = [*one.output, *one.input, *other.output, *other.input, ""]
    if rng.random() < 0.7:
        other.input[rng.randrange(len(other.input))] = rng.choice(names)
    else:
        other.input.append(rng.choice(names))


def _double_node(rng: random.Random, model: ModelProto) -> None:
    graph = _graph(rng, model)
    graph.node.insert(rng.randrange(len(graph.node) + 1), rng.choice(graph.node))


def _drop_node(rng: random.Random, model: ModelProto) -> None:
    graph = _graph(rng, model)
    del graph.node[rng.randrange(len(graph.node))]


def _change_version(rng: random.Random, model: ModelProto) -> None:
    rng.choice(model.opset_import).version = rng.randint(1, 28)


_CHANGES: Sequence[Callable[[random.Random, ModelProto], None]] = (
    _change_dims,
    _change_data,
    _change_type,
    _change_shape,
    _change_attribute,
    _add_attribute,
    _change_operator,
    _rewire,
    _double_node,
    _drop_node,
    _change_version,
)
