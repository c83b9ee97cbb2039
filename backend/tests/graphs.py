"""Tiny ONNX graphs for tests, as bytes. Each docstring is the graph's contract."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

OPSET = 21
IR_VERSION = 10
BF16 = TensorProto.BFLOAT16
FLOAT = TensorProto.FLOAT
FLOAT16 = TensorProto.FLOAT16
INT64 = TensorProto.INT64
STRING = TensorProto.STRING
BOOL = TensorProto.BOOL

Dims = Sequence[int | str | None] | None


def tensor(name: str, code: int, shape: Dims) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, code, shape)


def model_bytes(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    *,
    initializers: Mapping[str, np.ndarray[Any, Any]] | None = None,
    functions: Sequence[FunctionProto] = (),
    metadata: Mapping[str, str] | None = None,
    opset: int = OPSET,
) -> bytes:
    """A model of these nodes; domains ai.onnx.ml and `local` are imported too."""
    constants = [
        numpy_helper.from_array(array, name)
        for name, array in (initializers or {}).items()
    ]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializer=constants)
    model = helper.make_model(
        graph,
        functions=list(functions),
        opset_imports=[
            helper.make_opsetid("", opset),
            helper.make_opsetid("ai.onnx.ml", 3),
            helper.make_opsetid("local", 1),
        ],
        ir_version=IR_VERSION if opset < 24 else 13,
        producer_name="mlforge-tests",
    )
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())


def add_one() -> bytes:
    """x float32 [N] -> y float32 [N] = x + 1."""
    return model_bytes(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        [tensor("x", FLOAT, ["N"])],
        [tensor("y", FLOAT, ["N"])],
        initializers={"one": np.array([1], np.float32)},
    )


def affine(
    k: float = 2.0, *, width: int = 3, feature_names: Sequence[str] | None = None
) -> bytes:
    """x float32 [N, width] -> y float32 [N, width] = k * x + 1."""
    names = None if feature_names is None else json.dumps(list(feature_names))
    return model_bytes(
        [
            helper.make_node("Mul", ["x", "k"], ["kx"]),
            helper.make_node("Add", ["kx", "one"], ["y"]),
        ],
        [tensor("x", FLOAT, ["N", width])],
        [tensor("y", FLOAT, ["N", width])],
        initializers={"k": np.array([k], np.float32), "one": np.array([1], np.float32)},
        metadata=None if names is None else {"feature_names": names},
    )


def two_inputs() -> bytes:
    """a float32 [N, 2], b int64 [N, 2] -> total float32 [N, 2], product int64 [N, 2].

    total = a + b, product = b * b.
    """
    return model_bytes(
        [
            helper.make_node("Cast", ["b"], ["bf"], to=FLOAT),
            helper.make_node("Add", ["a", "bf"], ["total"]),
            helper.make_node("Mul", ["b", "b"], ["product"]),
        ],
        [tensor("a", FLOAT, ["N", 2]), tensor("b", INT64, ["N", 2])],
        [tensor("total", FLOAT, ["N", 2]), tensor("product", INT64, ["N", 2])],
    )


def strings_upper() -> bytes:
    """text string [N] -> upper string [N]."""
    # `locale` names one that every image has; the default, en_US.UTF-8, may be absent.
    return model_bytes(
        [
            helper.make_node(
                "StringNormalizer",
                ["text"],
                ["upper"],
                case_change_action="UPPER",
                locale="C",
            )
        ],
        [tensor("text", STRING, ["N"])],
        [tensor("upper", STRING, ["N"])],
    )


def classifier_zipmap(labels: Sequence[int] | Sequence[str] = (0, 1)) -> bytes:
    """X float32 [N, 2] -> label [N], probabilities seq(map(label, float32)).

    What skl2onnx exports of a classifier: the probabilities are softmax over
    scores that are x0, x1, x0 + x1, … for as many labels as given.
    """
    weights = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]][: len(labels)]
    flat = [weight for row in weights for weight in row]
    named = isinstance(labels[0], str)
    # Attribute names depend on the labels' type, which make_node cannot know.
    ints, int64s = ("strings", "strings") if named else ("ints", "int64s")
    classifier: dict[str, Any] = {f"classlabels_{ints}": labels}
    zipmap: dict[str, Any] = {f"classlabels_{int64s}": labels}
    return model_bytes(
        [
            helper.make_node(
                "LinearClassifier",
                ["X"],
                ["label", "scores"],
                domain="ai.onnx.ml",
                coefficients=flat,
                intercepts=[0.0] * len(labels),
                multi_class=1,
                post_transform="SOFTMAX",
                **classifier,
            ),
            helper.make_node(
                "ZipMap",
                ["scores"],
                ["probabilities"],
                domain="ai.onnx.ml",
                **zipmap,
            ),
        ],
        [tensor("X", FLOAT, ["N", 2])],
        [
            tensor("label", STRING if named else INT64, ["N"]),
            _zipmap_output("probabilities", STRING if named else INT64),
        ],
    )


def _zipmap_output(name: str, key: int) -> ValueInfoProto:
    value = helper.make_tensor_type_proto(FLOAT, [])
    return helper.make_value_info(
        name, helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
    )


def random_normal() -> bytes:
    """x float32 [N, 2] -> y float32 [N, 2] = x + noise. Never the same twice."""
    return model_bytes(
        [
            helper.make_node("RandomNormalLike", ["x"], ["noise"]),
            helper.make_node("Add", ["x", "noise"], ["y"]),
        ],
        [tensor("x", FLOAT, ["N", 2])],
        [tensor("y", FLOAT, ["N", 2])],
    )


def random_in_branch() -> bytes:
    """x float32 [N], flag bool [] -> y float32 [N]: noise only inside an If branch."""
    noisy = helper.make_graph(
        [helper.make_node("RandomNormalLike", ["x"], ["noisy"])],
        "noisy",
        [],
        [tensor("noisy", FLOAT, ["N"])],
    )
    plain = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["plain"])],
        "plain",
        [],
        [tensor("plain", FLOAT, ["N"])],
    )
    return model_bytes(
        [helper.make_node("If", ["flag"], ["y"], then_branch=plain, else_branch=noisy)],
        [tensor("x", FLOAT, ["N"]), tensor("flag", BOOL, [])],
        [tensor("y", FLOAT, ["N"])],
    )


def scalar() -> bytes:
    """x float32 [] -> y float32 [] = x * x."""
    return model_bytes(
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        [tensor("x", FLOAT, [])],
        [tensor("y", FLOAT, [])],
    )


def zero_size() -> bytes:
    """x float32 [N, 3] -> y float32 [N, 0]: every output tensor is empty."""
    return model_bytes(
        [helper.make_node("Slice", ["x", "at", "at", "axis"], ["y"])],
        [tensor("x", FLOAT, ["N", 3])],
        [tensor("y", FLOAT, ["N", 0])],
        initializers={"at": np.array([0], np.int64), "axis": np.array([1], np.int64)},
    )


def identity(code: int, shape: Dims = ("N",)) -> bytes:
    """x of element type `code` -> y, the same."""
    return model_bytes(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", code, shape)],
        [tensor("y", code, shape)],
    )


def bf16_identity() -> bytes:
    """x bfloat16 [N] -> y bfloat16 [N], the same."""
    return identity(BF16)


def int64_identity() -> bytes:
    """x int64 [N] -> y int64 [N], the same."""
    return identity(INT64)


def string_identity(shape: Dims = ("N",)) -> bytes:
    """x string [N] -> y string [N], the same."""
    return identity(STRING, shape)


def float16_double() -> bytes:
    """x float16 [N] -> y float16 [N] = x + x."""
    return model_bytes(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [tensor("x", FLOAT16, ["N"])],
        [tensor("y", FLOAT16, ["N"])],
    )


def cast(source: int, target: int, *, opset: int = 25) -> bytes:
    """x [N] of element type `source` -> y [N] of element type `target`."""
    return model_bytes(
        [helper.make_node("Cast", ["x"], ["y"], to=target)],
        [tensor("x", source, ["N"])],
        [tensor("y", target, ["N"])],
        opset=opset,
    )


def columns(n: int = 4) -> bytes:
    """n inputs of one column [N, 1] -> score float32 [N, 1].

    Even columns are `number0`, `number2`, … float32; odd ones are `text1`,
    `text3`, … string, worth 1 for "a", 2 for "b" and 0 for all else. The score
    is the sum.
    """
    nodes, inputs, terms = [], [], []
    for index in range(n):
        if index % 2 == 0:
            inputs.append(tensor(f"number{index}", FLOAT, ["N", 1]))
            terms.append(f"number{index}")
            continue
        inputs.append(tensor(f"text{index}", STRING, ["N", 1]))
        terms.append(f"worth{index}")
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [f"text{index}"],
                [f"worth{index}"],
                domain="ai.onnx.ml",
                keys_strings=["a", "b"],
                values_floats=[1.0, 2.0],
                default_float=0.0,
            )
        )
    nodes.append(helper.make_node("Sum", terms, ["score"]))
    return model_bytes(nodes, inputs, [tensor("score", FLOAT, ["N", 1])])


def sequence_identity() -> bytes:
    """xs seq(float32) -> ys seq(float32), the same."""
    return model_bytes(
        [helper.make_node("Identity", ["xs"], ["ys"])],
        [helper.make_tensor_sequence_value_info("xs", FLOAT, None)],
        [helper.make_tensor_sequence_value_info("ys", FLOAT, None)],
    )


def optional_identity() -> bytes:
    """x optional(float32) -> y optional(float32), the same; there bool []."""
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    return model_bytes(
        [
            helper.make_node("Identity", ["x"], ["y"]),
            helper.make_node("OptionalHasElement", ["x"], ["there"]),
        ],
        [helper.make_value_info("x", kind)],
        [helper.make_value_info("y", kind), tensor("there", BOOL, [])],
    )


def map_input() -> bytes:
    """x map(string, float32) -> y float32 [1, 2]: its values of "a" and "b"."""
    kind = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, []))
    return model_bytes(
        [
            helper.make_node(
                "DictVectorizer",
                ["x"],
                ["y"],
                domain="ai.onnx.ml",
                string_vocabulary=["a", "b"],
            )
        ],
        [helper.make_value_info("x", kind)],
        [tensor("y", FLOAT, [1, 2])],
    )


def row_mean() -> bytes:
    """x float32 [N, 3] -> y float32 [N, 3] = x less the batch's mean.

    Not batchable: a row's answer depends on the others.
    """
    return model_bytes(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [tensor("x", FLOAT, ["N", 3])],
        [tensor("y", FLOAT, ["N", 3])],
        initializers={"axes": np.array([0], np.int64)},
    )


def slow_loop(n: int = 10**15) -> bytes:
    """x float32 [1] -> y float32 [1] = x + n, counted up one by one (1 µs each)."""
    return _loop([], {"n": np.array(n, np.int64)})


def counted_loop() -> bytes:
    """x float32 [1], n int64 [] -> y float32 [1] = x + n, counted up one by one."""
    return _loop([tensor("n", INT64, [])], {})


def _loop(
    inputs: list[ValueInfoProto], initializers: dict[str, np.ndarray[Any, Any]]
) -> bytes:
    return model_bytes(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=_counting_body())],
        [tensor("x", FLOAT, [1]), *inputs],
        [tensor("y", FLOAT, [1])],
        initializers=initializers,
    )


def _counting_body() -> GraphProto:
    return helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Add", ["before", "step"], ["after"]),
        ],
        "body",
        [
            tensor("i", INT64, []),
            tensor("go_on", BOOL, []),
            tensor("before", FLOAT, [1]),
        ],
        [tensor("still", BOOL, []), tensor("after", FLOAT, [1])],
        initializer=[numpy_helper.from_array(np.array([1], np.float32), "step")],
    )


def doubling_loop() -> bytes:
    """x float32 [1] -> y float32 [2^40], x doubled forty times by joining it to itself."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Concat", ["before", "before"], ["after"], axis=0),
        ],
        "body",
        [
            tensor("i", INT64, []),
            tensor("go_on", BOOL, []),
            tensor("before", FLOAT, ["B"]),
        ],
        [tensor("still", BOOL, []), tensor("after", FLOAT, ["A"])],
    )
    return model_bytes(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)],
        [tensor("x", FLOAT, [1])],
        [tensor("y", FLOAT, ["M"])],
        initializers={"n": np.array(40, np.int64)},
    )


def expanded() -> bytes:
    """x int64 [] -> y float32 []: the sum of a product of two x by x matrices of 1."""
    return model_bytes(
        [
            helper.make_node("Unsqueeze", ["x", "zero"], ["side"]),
            helper.make_node("Concat", ["side", "side"], ["sides"], axis=0),
            helper.make_node("Expand", ["one", "sides"], ["a"]),
            helper.make_node("MatMul", ["a", "a"], ["product"]),
            helper.make_node("ReduceSum", ["product"], ["y"], keepdims=0),
        ],
        [tensor("x", INT64, [])],
        [tensor("y", FLOAT, [])],
        initializers={"zero": np.array([0], np.int64), "one": np.array(1, np.float32)},
    )


def unstoppable(side: int = 5000) -> bytes:
    """x float32 [1] -> y float32 []: sum of a product of side x side matrices of x.

    Nearly all its time is in one node, which a stop cannot end.
    """
    return model_bytes(
        [
            helper.make_node("Expand", ["x", "sides"], ["a"]),
            helper.make_node("MatMul", ["a", "a"], ["product"]),
            helper.make_node("ReduceSum", ["product"], ["y"], keepdims=0),
        ],
        [tensor("x", FLOAT, [1])],
        [tensor("y", FLOAT, [])],
        initializers={"sides": np.array([side, side], np.int64)},
    )


def lookup(rows: int) -> bytes:
    """i int64 [N] -> y float32 [N] = i, for i below `rows`; else it does not run."""
    return model_bytes(
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [tensor("i", INT64, ["N"])],
        [tensor("y", FLOAT, ["N"])],
        initializers={"table": np.arange(rows, dtype=np.float32)},
    )


def slow_lookup(rows: int) -> bytes:
    """i int64 [N], n int64 [N] -> y float32 [N] = i, total float32 [1] = sum of i.

    It counts to the largest n first, 1 µs each, and does not run for an i of `rows` or
    more. Rows of y are independent; total has one row for all.
    """
    return model_bytes(
        [
            helper.make_node("ReduceMax", ["n"], ["most"], keepdims=0),
            helper.make_node(
                "Loop", ["most", "", "zero"], ["n1"], body=_counting_body()
            ),
            helper.make_node("Mul", ["n1", "zero"], ["nothing"]),
            helper.make_node("Gather", ["table", "i"], ["found"]),
            helper.make_node("Add", ["found", "nothing"], ["y"]),
            helper.make_node("ReduceSum", ["y"], ["total"], keepdims=1),
        ],
        [tensor("i", INT64, ["N"]), tensor("n", INT64, ["N"])],
        [tensor("y", FLOAT, ["N"]), tensor("total", FLOAT, [1])],
        initializers={
            "zero": np.array([0], np.float32),
            "table": np.arange(rows, dtype=np.float32),
        },
    )


def lookups(count: int, *, rows: int) -> bytes:
    """i int64 [N] -> y float32 [N] = the sum of `count` tables' rows i."""
    tables = {
        f"t{number}": np.full(rows, number, np.float32) for number in range(count)
    }
    found = [helper.make_node("Gather", [t, "i"], [f"{t}_i"]) for t in tables]
    total = helper.make_node("Sum", [f"{t}_i" for t in tables], ["y"])
    return model_bytes(
        [*found, total],
        [tensor("i", INT64, ["N"])],
        [tensor("y", FLOAT, ["N"])],
        initializers=tables,
    )


def random_in_a_default() -> bytes:
    """x float32 [N] -> y float32 [1]: noise, in a graph that a function's If names.

    The graph is the default of the function's attribute, and in none of its nodes.
    """
    noisy = helper.make_graph(
        [helper.make_node("RandomNormal", [], ["noise"], shape=[1])],
        "noisy",
        [],
        [tensor("noise", FLOAT, [1])],
    )
    plain = helper.make_graph(
        [helper.make_node("Constant", [], ["zero"], value_floats=[0.0])],
        "plain",
        [],
        [tensor("zero", FLOAT, [1])],
    )
    choose = helper.make_node("If", ["a"], ["b"], else_branch=plain)
    choose.attribute.add(
        name="then_branch", ref_attr_name="branch", type=AttributeProto.GRAPH
    )
    function = helper.make_function(
        "local",
        "f",
        ["a"],
        ["b"],
        [choose],
        [helper.make_opsetid("", OPSET)],
        attribute_protos=[helper.make_attribute("branch", noisy)],
    )
    return model_bytes(
        [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "most"], ["is_large"]),
            helper.make_node("f", ["is_large"], ["y"], domain="local"),
        ],
        [tensor("x", FLOAT, ["N"])],
        [tensor("y", FLOAT, [1])],
        initializers={"most": np.array(1000, np.float32)},
        functions=[function],
    )


def hang_on_load(depth: int = 60) -> bytes:
    """x float32 [N] -> y float32 [N]: 2^depth nodes once its functions are expanded."""
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    functions = [
        helper.make_function(
            "local",
            "f0",
            ["a"],
            ["b"],
            [helper.make_node("Abs", ["a"], ["b"])],
            imports,
        )
    ]
    for level in range(1, depth + 1):
        inner = f"f{level - 1}"
        calls = [
            helper.make_node(inner, ["a"], ["m"], domain="local"),
            helper.make_node(inner, ["m"], ["b"], domain="local"),
        ]
        functions.append(
            helper.make_function("local", f"f{level}", ["a"], ["b"], calls, imports)
        )
    return model_bytes(
        [helper.make_node(f"f{depth}", ["x"], ["y"], domain="local")],
        [tensor("x", FLOAT, ["N"])],
        [tensor("y", FLOAT, ["N"])],
        functions=functions,
    )


def memory_bomb(gib: int = 64) -> bytes:
    """x float32 [1] -> y float32 [gib * 2^28]: runs need `gib` GiB of memory."""
    return model_bytes(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        [tensor("x", FLOAT, [1])],
        [tensor("y", FLOAT, [gib * 2**28])],
        initializers={"shape": np.array([gib * 2**28], np.int64)},
    )


def memory_bomb_on_load(count: int = 3000, mib: int = 3) -> bytes:
    """x float32 [1] -> y float32 [1]; loading folds count * mib MiB of constants."""
    size = mib * 2**18
    # Each its own, for equal nodes would be merged before they are folded.
    small = {f"small{index}": np.array([index], np.float32) for index in range(count)}
    nodes = [
        helper.make_node("Expand", [f"small{index}", "shape"], [f"big{index}"])
        for index in range(count)
    ]
    nodes += [
        helper.make_node("Gather", [f"big{index}", "at"], [f"part{index}"])
        for index in range(count)
    ]
    nodes.append(
        helper.make_node("Sum", ["x", *(f"part{i}" for i in range(count))], ["y"])
    )
    return model_bytes(
        nodes,
        [tensor("x", FLOAT, [1]), tensor("at", INT64, [1])],
        [tensor("y", FLOAT, [1])],
        initializers={"shape": np.array([size], np.int64), **small},
    )


def external_data_pair(
    location: str = "model.onnx.data", *, size: int = 3, k: float = 2.0
) -> tuple[bytes, bytes]:
    """x float32 [N, size] -> y = k * x, and the companion file with the weights."""
    model = ModelProto()
    model.ParseFromString(
        model_bytes(
            [helper.make_node("Mul", ["x", "k"], ["y"])],
            [tensor("x", FLOAT, ["N", size])],
            [tensor("y", FLOAT, ["N", size])],
        )
    )
    data = np.full(size, k, dtype=np.float32).tobytes()
    constant = model.graph.initializer.add(name="k", data_type=FLOAT, dims=[size])
    constant.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", location),
        ("offset", "0"),
        ("length", str(len(data))),
    ):
        constant.external_data.add(key=key, value=value)
    return model.SerializeToString(), data


def no_outputs() -> bytes:
    """x float32 [N] and no output at all."""
    return model_bytes(
        [helper.make_node("Abs", ["x"], ["y"])], [tensor("x", FLOAT, ["N"])], []
    )


def fails_on_run() -> bytes:
    """x float32 [N], y float32 [M] -> z: only runs when N and M can be broadcast."""
    return model_bytes(
        [helper.make_node("Add", ["x", "y"], ["z"])],
        [tensor("x", FLOAT, ["N"]), tensor("y", FLOAT, ["M"])],
        [tensor("z", FLOAT, None)],
    )


def five_numbers() -> bytes:
    """x float32 [N] -> y float32 [5] = x, for five numbers; else it does not run."""
    return model_bytes(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [tensor("x", FLOAT, ["N"])],
        [tensor("y", FLOAT, [5])],
        initializers={"shape": np.array([5], np.int64)},
    )


def total() -> bytes:
    """x float32 [N, 1] -> y float32 [1, 1], the sum of all rows."""
    return model_bytes(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        [tensor("x", FLOAT, ["N", 1])],
        [tensor("y", FLOAT, [1, 1])],
        initializers={"axes": np.array([0], np.int64)},
    )
