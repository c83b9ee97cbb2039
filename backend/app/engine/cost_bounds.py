"""Do inputs of the same shapes always cost the same, whatever their values?

Only then does one measured run tell what the next will take. A scalar that says
how far to count or how large to make a tensor costs 8 bytes and any time at all.
"""

from collections.abc import Collection, Mapping

from onnx import ModelProto, NodeProto

from app.engine.graph_walk import Container, all_graphs
from app.engine.random_operators import RANDOM_OPERATORS

# Operators outside of these, other than the model's own functions, are unknown here.
_KNOWN_DOMAINS = ("", "ai.onnx.ml")

_ALWAYS_BY_VALUE = frozenset(
    {
        "Compress",
        "ImageDecoder",
        "Loop",
        "NonMaxSuppression",
        "NonZero",
        "RoiAlign",
        "Scan",
        "SequenceMap",
        "StringSplit",
        "Unique",
    }
)

# Operators that compute their output's shape, or choose what to run, from the values
# of some inputs: those inputs' positions.
_DECIDING: Mapping[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "Attention": (6,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "DFT": (1, 2),
    "Expand": (1,),
    "GRU": (4,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "If": (0,),
    "LSTM": (4,),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "OneHot": (1,),
    "Pad": (1, 3),
    "RNN": (4,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "SequenceAt": (1,),
    "SequenceErase": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "SplitToSequence": (1,),
    "Squeeze": (1,),
    "Tile": (1, 2),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
_REDUCTION_AXES = (1,)
_NO_INPUTS: tuple[int, ...] = ()


def has_bounded_cost(model: ModelProto) -> bool:
    """False if some operator's work follows from values, or is not known here."""
    if not all(info.type.HasField("tensor_type") for info in model.graph.input):
        return False
    own = {(_domain(item.domain), item.name) for item in model.functions}
    return all(_is_bounded(graph, own) for graph in all_graphs(model))


def _is_bounded(graph: Container, own: Collection[tuple[str, str]]) -> bool:
    fixed = {tensor.name for tensor in getattr(graph, "initializer", ())}
    fixed |= {sparse.values.name for sparse in getattr(graph, "sparse_initializer", ())}
    # An input that is left out has no name.
    fixed.add("")
    for node in graph.node:
        is_own = (_domain(node.domain), node.op_type) in own
        if not is_own and not _has_fixed_work(node, fixed):
            return False
        if not is_own and _has_fixed_values(node, fixed):
            fixed.update(node.output)
    return True


def _has_fixed_work(node: NodeProto, fixed: Collection[str]) -> bool:
    if _domain(node.domain) not in _KNOWN_DOMAINS or node.op_type in _ALWAYS_BY_VALUE:
        return False
    is_reduction = node.op_type.startswith("Reduce")
    deciding = _REDUCTION_AXES if is_reduction else _NO_INPUTS
    deciding = _DECIDING.get(node.op_type, deciding)
    return all(node.input[at] in fixed for at in deciding if at < len(node.input))


def _has_fixed_values(node: NodeProto, fixed: Collection[str]) -> bool:
    """Whether its outputs follow from shapes and constants alone."""
    if node.op_type in RANDOM_OPERATORS or node.op_type == "If":
        return False
    return node.op_type in ("Shape", "Size") or all(
        name in fixed for name in node.input
    )


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name
