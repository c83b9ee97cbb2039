"""Models whose runs take long, with one input each."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

_IMAGE: Final = (1, 3, 224, 224)
_ROWS, _WIDTH, _LAYERS = 64, 1024, 8


@dataclass(frozen=True, slots=True)
class Bench:
    model: bytes
    inputs: dict[str, np.ndarray[Any, Any]]


class _Graph:
    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(self, *shape: int, fan_in: int) -> str:
        values = self._random.standard_normal(shape) * np.sqrt(2 / fan_in)
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(self, x: str, shape: tuple[int, int, int], *, stride: int = 1) -> str:
        """Of `shape` channels in, channels out and kernel; then no less than 0."""
        before, after, size = shape
        weight = self.weight(after, before, size, size, fan_in=before * size * size)
        pads = [size // 2] * 4
        y = self.node("Conv", x, weight, strides=[stride, stride], pads=pads)
        return self.node("Relu", y)

    def bench(self, shape: tuple[int, ...], y: str) -> Bench:
        graph = helper.make_graph(
            self._nodes,
            "bench",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
            self._weights,
        )
        opset = [helper.make_opsetid("", 21)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=10)
        inputs = self._random.standard_normal(shape).astype(np.float32)
        return Bench(model.SerializeToString(), {"x": inputs})


def conv() -> Bench:
    """As large as ResNet-18: 11 million weights, 1.8 billion products."""
    graph = _Graph()
    x = graph.conv("x", (3, 64, 7), stride=2)
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    before = 64
    for after, first_stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for stride in (first_stride, 1):
            y = graph.conv(x, (before, after, 3), stride=stride)
            y = graph.conv(y, (after, after, 3))
            if before != after:
                x = graph.conv(x, (before, after, 1), stride=stride)
            x = graph.node("Add", x, y)
            before = after
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    y = graph.node("MatMul", x, graph.weight(512, 1000, fan_in=512))
    return graph.bench(_IMAGE, y)


def dense() -> Bench:
    """Eight products of 64 x 1024 and 1024 x 1024."""
    graph, x = _Graph(), "x"
    for _ in range(_LAYERS):
        weight = graph.weight(_WIDTH, _WIDTH, fan_in=_WIDTH)
        x = graph.node("Relu", graph.node("MatMul", x, weight))
    return graph.bench((_ROWS, _WIDTH), x)


MODELS: Final = {"conv": conv, "dense": dense}
