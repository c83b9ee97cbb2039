"""The graphs of `bench.models`. Their weights are random numbers of a fixed seed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from bench.payloads import Array

IR_VERSION, OPSET = 8, 17
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Dims = Sequence[int | str]


class Graph:
    """Nodes and weights with names of their own."""

    def __init__(self, seed: int) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._random = np.random.default_rng(seed)

    def const(self, values: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(
            numpy_helper.from_array(np.ascontiguousarray(values), name)
        )
        return name

    def weight(self, *shape: int, scale: float) -> str:
        return self.const(self._numbers(shape) * np.float32(scale))

    def _numbers(self, shape: tuple[int, ...]) -> Array:
        return self._random.standard_normal(shape, dtype=np.float32)

    def node(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def also_out(self, name: str) -> None:
        """One more output of the last node."""
        self._nodes[-1].output.append(name)

    def dense(self, x: str, width: int, size: int, *, out: str = "") -> str:
        weight = self.weight(width, size, scale=width**-0.5)
        return self.node("Gemm", x, weight, self.const(np.zeros(size, "f")), out=out)

    def model(
        self,
        inputs: Sequence[tuple[str, int, Dims]],
        outputs: Sequence[tuple[str, int, Dims]],
    ) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            "bench",
            [helper.make_tensor_value_info(*one) for one in inputs],
            [helper.make_tensor_value_info(*one) for one in outputs],
            self._weights,
        )
        made = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", 3),
            ],
            ir_version=IR_VERSION,
        )
        return bytes(made.SerializeToString())


def mlp(sizes: Sequence[int], seed: int = 5) -> bytes:
    graph, x = Graph(seed), "x"
    for width, size in pairwise(sizes[:-1]):
        x = graph.node("Relu", graph.dense(x, width, size))
    x = graph.dense(x, sizes[-2], sizes[-1])
    graph.node("Softmax", x, out="probs", axis=1)
    return graph.model(
        [("x", FLOAT, ["N", sizes[0]])], [("probs", FLOAT, ["N", sizes[-1]])]
    )


def conv(seed: int = 2) -> bytes:
    graph = Graph(seed)

    def layer(x: str, ins: int, outs: int, side: int, stride: int = 1) -> str:
        weight = graph.weight(
            outs, ins, side, side, scale=(2 / (ins * side * side)) ** 0.5 / 2
        )
        return graph.node(
            "Conv",
            x,
            weight,
            graph.const(np.zeros(outs, "f")),
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[side // 2] * 4,
        )

    def block(x: str, ins: int, outs: int, stride: int) -> str:
        inner = graph.node("Relu", layer(x, ins, outs, 3, stride))
        y = layer(inner, outs, outs, 3)
        beside = x if ins == outs and stride == 1 else layer(x, ins, outs, 1, stride)
        return graph.node("Relu", graph.node("Add", y, beside))

    x = graph.node("Relu", layer("image", 3, 64, 7, 2))
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for size, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = block(block(x, width, size, stride), size, size, 1)
        width = size
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    graph.dense(x, 512, 1000, out="logits")
    return graph.model(
        [("image", FLOAT, ["N", 3, 224, 224])], [("logits", FLOAT, ["N", 1000])]
    )


HIDDEN, HEADS, LAYERS, INNER, WORDS, LONGEST = 384, 12, 6, 1536, 30_522, 512


def encoder(seed: int = 3) -> bytes:
    graph = Graph(seed)
    one, two = graph.const(np.array([1])), graph.const(np.array([2]))
    zero = graph.const(np.array([0]))
    length = graph.node("Slice", graph.node("Shape", "input_ids"), one, two)
    places = graph.weight(LONGEST, HIDDEN, scale=0.02)
    place = graph.node("Slice", places, zero, length, zero)
    words = graph.weight(WORDS, HIDDEN, scale=0.02)
    x = graph.node("Add", graph.node("Gather", words, "input_ids"), place)
    mask = graph.node("Cast", "attention_mask", to=FLOAT)
    unit = graph.const(np.float32(1))
    hidden = graph.node("Sub", unit, graph.node("Unsqueeze", mask, _axes(graph, 1, 2)))
    bias = graph.node("Mul", hidden, graph.const(np.float32(-1e4)))
    x = _normal(graph, x)
    for _ in range(LAYERS):
        x = _normal(graph, graph.node("Add", _attention(graph, x, bias), x))
        x = _normal(graph, graph.node("Add", _inner(graph, x), x))
    wide = graph.node("Unsqueeze", mask, _axes(graph, 2))
    total = graph.node("ReduceSum", graph.node("Mul", x, wide), one, keepdims=0)
    count = graph.node("ReduceSum", mask, one, keepdims=1)
    graph.node("Div", total, graph.node("Max", count, unit), out="embedding")
    return graph.model(
        [("input_ids", INT64, ["N", "S"]), ("attention_mask", INT64, ["N", "S"])],
        [("embedding", FLOAT, ["N", HIDDEN])],
    )


def _axes(graph: Graph, *axes: int) -> str:
    return graph.const(np.array(axes))


def _normal(graph: Graph, x: str) -> str:
    scale, bias = np.ones(HIDDEN, "f"), np.zeros(HIDDEN, "f")
    return graph.node(
        "LayerNormalization", x, graph.const(scale), graph.const(bias), axis=-1
    )


def _linear(graph: Graph, x: str, width: int, size: int) -> str:
    product = graph.node("MatMul", x, graph.weight(width, size, scale=width**-0.5))
    return graph.node("Add", product, graph.weight(size, scale=0.02))


def _attention(graph: Graph, x: str, bias: str) -> str:
    parts = graph.const(np.array([0, 0, HEADS, HIDDEN // HEADS]))
    query, key, value = (
        graph.node("Reshape", _linear(graph, x, HIDDEN, HIDDEN), parts)
        for _ in range(3)
    )
    query = graph.node("Transpose", query, perm=[0, 2, 1, 3])
    value = graph.node("Transpose", value, perm=[0, 2, 1, 3])
    key = graph.node("Transpose", key, perm=[0, 2, 3, 1])
    scale = graph.const(np.float32((HIDDEN / HEADS) ** -0.5))
    scores = graph.node("Mul", graph.node("MatMul", query, key), scale)
    shares = graph.node("Softmax", graph.node("Add", scores, bias), axis=-1)
    mixed = graph.node(
        "Transpose", graph.node("MatMul", shares, value), perm=[0, 2, 1, 3]
    )
    whole = graph.const(np.array([0, 0, HIDDEN]))
    return _linear(graph, graph.node("Reshape", mixed, whole), HIDDEN, HIDDEN)


def _inner(graph: Graph, x: str) -> str:
    """Two layers with GELU between them."""
    x = _linear(graph, x, HIDDEN, INNER)
    half, root = graph.const(np.float32(0.5)), graph.const(np.float32(2**-0.5))
    error = graph.node("Erf", graph.node("Mul", x, root))
    raised = graph.node("Add", error, graph.const(np.float32(1)))
    gelu = graph.node("Mul", graph.node("Mul", x, raised), half)
    return _linear(graph, gelu, INNER, HIDDEN)


TREES, DEPTH, FEATURES = 100, 6, 18


def trees(seed: int = 4) -> bytes:
    """A boosted classifier's shape; thresholds are such that rows spread over leaves."""
    graph, random = Graph(seed), np.random.default_rng(seed)
    inner, size = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
    nodes = np.tile(np.arange(size), TREES)
    leaf = nodes >= inner
    owner = np.repeat(np.arange(TREES), size)
    graph.node(
        "TreeEnsembleClassifier",
        "input",
        out="label",
        domain="ai.onnx.ml",
        nodes_treeids=owner.tolist(),
        nodes_nodeids=nodes.tolist(),
        nodes_featureids=np.where(
            leaf, 0, random.integers(0, FEATURES, nodes.size)
        ).tolist(),
        nodes_values=np.where(leaf, 0, random.standard_normal(nodes.size)).tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=np.where(leaf, 0, 2 * nodes + 1).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, 2 * nodes + 2).tolist(),
        class_treeids=owner[leaf].tolist(),
        class_nodeids=nodes[leaf].tolist(),
        class_ids=[0] * int(leaf.sum()),
        class_weights=(random.standard_normal(int(leaf.sum())) / 10).tolist(),
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
        base_values=[0.0],
    )
    graph.also_out("probabilities")
    return graph.model(
        [("input", FLOAT, ["N", FEATURES])],
        [("label", INT64, ["N"]), ("probabilities", FLOAT, ["N", 2])],
    )
