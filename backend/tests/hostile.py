"""Model files made to do harm: `python -m tests.hostile FOLDER` writes them out.

Each says what a refusal of it must say. Nothing here is downloaded; all are small.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    ValueInfoProto,
    helper,
)

from tests import graphs

FLOAT, INT64, BOOL = graphs.FLOAT, graphs.INT64, graphs.BOOL
Place = Callable[[TensorProto], bytes]


@dataclass(frozen=True, slots=True)
class Hostile:
    """`says` is part of the refusal."""

    name: str
    model: bytes
    says: str
    companions: Mapping[str, bytes] = field(default_factory=dict)


def tensor(dims: Iterable[int], *, code: int = FLOAT, raw: bytes = b"") -> TensorProto:
    return TensorProto(name="v", data_type=code, dims=list(dims), raw_data=raw)


def external(location: str, dims: Iterable[int] = (1,), **keys: str) -> TensorProto:
    made = TensorProto(name="v", data_type=FLOAT, dims=list(dims))
    made.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **keys}.items():
        made.external_data.add(key=key, value=value)
    return made


def sparse(
    size: int, *, at: Iterable[int] = (0,), values: TensorProto | None = None
) -> SparseTensorProto:
    """As long as `size` says, with elements at these places."""
    places = list(at)
    made = helper.make_sparse_tensor(
        helper.make_tensor("v", FLOAT, [len(places)], [1.0] * len(places)),
        helper.make_tensor("at", INT64, [len(places)], places),
        [size],
    )
    if values is not None:
        made.values.CopyFrom(values)
    return made


def function(name: str, *nodes: NodeProto, domain: str = "local") -> Any:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    return helper.make_function(domain, name, ["a"], ["b"], list(nodes), imports)


def calling(name: str, *functions: Any, domain: str = "local") -> bytes:
    return graphs.model_bytes(
        [helper.make_node(name, ["x"], ["y"], domain=domain)],
        [graphs.tensor("x", FLOAT, ["N"])],
        [graphs.tensor("y", FLOAT, ["N"])],
        functions=functions,
    )


def branching(inner: NodeProto) -> NodeProto:
    """An If whose branches hold `inner`, of one output named `out`."""
    branch = helper.make_graph(
        [inner], "branch", [], [graphs.tensor("out", FLOAT, None)]
    )
    return helper.make_node(
        "If", ["flag"], ["y"], then_branch=branch, else_branch=branch
    )


def with_nodes(*nodes: NodeProto) -> bytes:
    return graphs.model_bytes(
        nodes,
        [graphs.tensor("flag", BOOL, []), graphs.tensor("x", FLOAT, [1])],
        [graphs.tensor("y", FLOAT, None)],
    )


def changed(change: Callable[[ModelProto], object]) -> bytes:
    """A model that adds one, after this change."""
    model = ModelProto.FromString(graphs.add_one())
    change(model)
    return bytes(model.SerializeToString())


def with_input(info: ValueInfoProto) -> bytes:
    return changed(lambda model: model.graph.input.append(info))


def with_inner(info: ValueInfoProto) -> bytes:
    return changed(lambda model: model.graph.value_info.append(info))


def with_node(node: NodeProto) -> bytes:
    return changed(lambda model: model.graph.node.append(node))


def with_format(version: int) -> bytes:
    return changed(lambda model: setattr(model, "ir_version", version))


def with_opset(version: int) -> bytes:
    imported = helper.make_opsetid("", version)
    return changed(lambda model: model.opset_import[0].CopyFrom(imported))


# The places in a file where a tensor may be.


def in_initializer(value: TensorProto) -> bytes:
    return changed(lambda model: model.graph.initializer.append(value))


def in_attribute(value: TensorProto) -> bytes:
    return with_nodes(helper.make_node("Constant", [], ["y"], value=value))


def in_attribute_list(value: TensorProto) -> bytes:
    node = helper.make_node("Abs", ["x"], ["y"])
    node.attribute.add(name="values", type=AttributeProto.TENSORS, tensors=[value])
    return with_nodes(node)


def in_branch(value: TensorProto) -> bytes:
    return with_nodes(branching(helper.make_node("Constant", [], ["out"], value=value)))


def in_function(value: TensorProto) -> bytes:
    constant = helper.make_node("Constant", [], ["b"], value=value)
    return calling("f", function("f", constant))


def in_default(value: TensorProto) -> bytes:
    inner = function("f", helper.make_node("Constant", [], ["b"]))
    inner.node[0].attribute.add(
        name="value", ref_attr_name="v", type=AttributeProto.TENSOR
    )
    inner.attribute_proto.append(helper.make_attribute("v", value))
    return calling("f", inner)


def in_sparse_values(value: TensorProto) -> bytes:
    held = sparse(1, values=value)
    return changed(lambda model: model.graph.sparse_initializer.append(held))


def in_sparse_attribute(value: TensorProto) -> bytes:
    held = sparse(1, values=value)
    return with_nodes(helper.make_node("Constant", [], ["y"], sparse_value=held))


PLACES: tuple[Place, ...] = (
    in_initializer,
    in_attribute,
    in_attribute_list,
    in_branch,
    in_function,
    in_default,
    in_sparse_values,
    in_sparse_attribute,
)


def _tensors() -> Iterable[Hostile]:
    # 2^64 elements are none at all in 64 bits, which the missing data would fit.
    wrapping = tensor([2**32, 2**32])
    for place in PLACES:
        name = place.__name__
        yield Hostile(f"wrapping dims {name}", place(wrapping), "has 0 bytes of data")
        yield Hostile(
            f"negative dim {name}", place(tensor([-1])), "has a negative dimension"
        )
        for where in ("secret.env", "../../etc/passwd", "/proc/self/environ"):
            yield Hostile(
                f"file {where} {name}",
                place(external(where)),
                f"this model refers to `{where}`",
            )
    cases = {
        "largest dims": (tensor([2**63 - 1] * 3), "has 0 bytes of data"),
        "short data": (tensor([3], raw=b"1234"), "has 4 bytes of data"),
        "long data": (tensor([1], raw=b"12345678"), "has 8 bytes of data"),
        "short int4": (tensor([5], code=TensorProto.INT4, raw=b"12"), "wants 3"),
        "few floats": (
            TensorProto(name="v", data_type=FLOAT, dims=[3], float_data=[1.0]),
            "has 1 elements of data",
        ),
        "many axes": (tensor([1] * 65, raw=b"1234"), "has 65 axes"),
        "complex": (tensor([1], code=14, raw=b"12345678"), "elements of type 14"),
        "type of the future": (tensor([1], code=9999), "elements of type 9999"),
    }
    for name, (value, says) in cases.items():
        yield Hostile(name, in_initializer(value), says)


def _sparse_tensors() -> Iterable[Hostile]:
    def held(value: SparseTensorProto) -> bytes:
        return changed(lambda model: model.graph.sparse_initializer.append(value))

    yield Hostile("sparse giant", held(sparse(2**40)), "once they are written out")
    yield Hostile(
        "sparse index after the end", held(sparse(8, at=[8])), "outside of its shape"
    )
    yield Hostile(
        "sparse index before the start",
        held(sparse(8, at=[-1])),
        "outside of its shape",
    )
    few = sparse(8, at=[1, 2])
    few.indices.CopyFrom(helper.make_tensor("at", INT64, [1], [1]))
    yield Hostile("sparse with few indices", held(few), "not as many indices")
    elsewhere = sparse(8)
    elsewhere.indices.CopyFrom(external("w.bin"))
    yield Hostile(
        "sparse indices elsewhere",
        held(elsewhere),
        "no int64 in the file itself",
        {"w.bin": bytes(8)},
    )


def _external_data() -> Iterable[Hostile]:
    file = {"w.bin": bytes(64)}
    cases = {
        "offset before the start": external("w.bin", offset="-8"),
        "offset past 64 bits": external("w.bin", offset=str(2**64 - 4)),
        "offset in hexadecimal": external("w.bin", offset="0x10"),
        "length that is no number": external("w.bin", length="4e0"),
    }
    for name, value in cases.items():
        yield Hostile(name, in_initializer(value), "has no number of bytes", file)
    yield Hostile(
        "offset past the end",
        in_initializer(external("w.bin", offset="61")),
        "out of bounds of `w.bin`",
        file,
    )
    yield Hostile(
        "length that is not the shape's",
        in_initializer(external("w.bin", length="8")),
        "has 8 bytes of data",
        file,
    )
    yield Hostile(
        "key that is none",
        in_initializer(external("w.bin", __class__="x")),
        "something other than one location",
        file,
    )
    for name, where in (("zero byte", "w.bin\0.env"), ("escape", "\x1b[2J")):
        yield Hostile(
            f"location with {name}", in_initializer(external(where)), "control char"
        )
    yield Hostile(
        "location of 10,000 letters",
        in_initializer(external("w" * 10_000)),
        "a name of 10,000 characters",
    )
    yield Hostile(
        "location of the model itself",
        in_initializer(external("model.onnx")),
        "this model refers to `model.onnx`",
    )

    def share(model: ModelProto) -> None:
        for index in range(200):
            model.graph.initializer.append(external("w.bin", dims=[2**18]))
            model.graph.initializer[-1].name = f"v{index}"

    yield Hostile(
        "one file as two hundred tensors",
        changed(share),
        "this model's tensors have more than",
        {"w.bin": bytes(2**20)},
    )


def _operators() -> Iterable[Hostile]:
    for domain, name in (
        ("com.microsoft", "EPContext"),
        ("com.microsoft", "Snpe"),
        ("", "MemcpyToHost"),
        ("", "NoSuchOperator"),
    ):
        node = helper.make_node(name, ["x"], ["y"], domain=domain)
        yield Hostile(f"operator {name}", with_nodes(node), f"the operator {name}")
    for domain in ("com.microsoft.nchwc", "com.ms.internal.nhwc", "custom", "ai.onnx."):
        node = helper.make_node("Conv", ["x", "x"], ["out"], domain=domain)
        yield Hostile(
            f"domain {domain}", with_nodes(branching(node)), f'of the domain "{domain}"'
        )
    inner = helper.make_node("PyOp", ["a"], ["b"], domain="pyopmulti")
    yield Hostile(
        "foreign operator in a function",
        calling("f", function("f", inner)),
        'of the domain "pyopmulti"',
    )
    body = helper.make_node("Neg", ["a"], ["b"])
    for domain, name in (("", "Abs"), ("com.microsoft", "EPContext")):
        yield Hostile(
            f"function named {name}",
            calling(name, function(name, body, domain=domain), domain=domain),
            "where the runtime's operators are",
        )


def _declarations() -> Iterable[Hostile]:
    for version in (-1, 0, 10**6):
        says = f"wants version {version} of the operators"
        yield Hostile(f"opset {version}", with_opset(version), says)
    for version in (0, 10**6):
        yield Hostile(
            f"format {version}",
            with_format(version),
            f"version {version} of ONNX's format",
        )
    shapes = {"giant": [2**31, 2**31], "largest": [2**63 - 1], "negative": [-(2**63)]}
    for name, shape in shapes.items():
        says = "negative dimension" if name == "negative" else "shape of more than"
        info = graphs.tensor("z", FLOAT, shape)
        yield Hostile(
            f"input of a {name} shape",
            with_input(info),
            says,
        )
        yield Hostile(
            f"inner value of a {name} shape",
            with_inner(info),
            says,
        )
    many = [graphs.tensor(f"x{index}", FLOAT, [1]) for index in range(3000)]
    yield Hostile(
        "3000 inputs",
        changed(lambda model: model.graph.input.extend(many)),
        "3,001 inputs",
    )
    twice = graphs.tensor("x", FLOAT, [1])
    yield Hostile("input twice", with_input(twice), "twice")
    yield Hostile(
        "training",
        changed(
            lambda model: model.training_info.add().algorithm.CopyFrom(model.graph)
        ),
        "information for training",
    )


def _names() -> Iterable[Hostile]:
    names = {
        "escape": "\x1b[2Jx",
        "line": "x\nlevel=error",
        "zero": "x\0y",
        "direction": "x\u202ey",
    }
    for what, name in names.items():
        info = graphs.tensor(name, FLOAT, [1])
        yield Hostile(
            f"input with {what}",
            with_input(info),
            "a control character",
        )
        node = helper.make_node("Abs", ["x"], ["z"], name=name)
        yield Hostile(
            f"node with {what}",
            with_node(node),
            "a control character",
        )
    yield Hostile(
        "input of 300 letters",
        with_input(graphs.tensor("x" * 300, FLOAT, [1])),
        "a name of 300 characters",
    )
    yield Hostile(
        "node of 5000 letters",
        changed(lambda model: setattr(model.graph.node[0], "name", "n" * 5000)),
        "a name of 5,000 characters",
    )
    yield Hostile(
        "name that is no text",
        graphs.add_one().replace(b"mlforge-tests", b"\xff" * 13),
        "not UTF-8 text",
    )
    yield Hostile(
        "metadata of 2 MiB",
        changed(lambda m: m.metadata_props.add(key="k", value="v" * 2**21)),
        "metadata has 2,097,153 bytes",
    )


def _structure() -> Iterable[Hostile]:
    yield Hostile("nothing", b"", "empty")
    yield Hostile("no model", b"\x7fELF" + bytes(60), "of another kind")
    yield Hostile(
        "half a model", graphs.add_one()[:60], "of another kind, or cut short"
    )
    yield Hostile("runtime's format", b"\x20\0\0\0ORTM" + bytes(64), "(.ort)")
    yield Hostile("no outputs", graphs.no_outputs(), "no outputs")
    for depth in (17, 60, 10_000):
        bomb = graphs.hang_on_load(depth)
        yield Hostile(f"functions doubled {depth} times", bomb, "is the limit")
    call = helper.make_node("f", ["a"], ["b"], domain="local")
    other = helper.make_node("g", ["a"], ["b"], domain="local")
    yield Hostile(
        "function in itself", calling("f", function("f", call)), "calls itself"
    )
    yield Hostile(
        "functions in a circle",
        calling("f", function("f", other), function("g", call)),
        "calls itself",
    )
    node = helper.make_node("Identity", ["x"], ["out"])
    for _ in range(20):
        node = branching(node)
        node.output[0] = "out"
        del node.attribute[1]
    yield Hostile(
        "graphs 20 deep",
        with_node(node),
        "more than 16 deep",
    )
    yield Hostile("graphs 2000 deep", _nested(2000), "of another kind, or cut short")
    flood = changed(
        lambda model: model.graph.node.extend([NodeProto(op_type="Abs")] * 200_001)
    )
    yield Hostile("200,001 nodes", flood, "more than 200,000 nodes")


def _nested(depth: int) -> bytes:
    """Written by hand: protobuf itself would not write it. Node, attribute, graph."""
    graph = b""
    for _ in range(depth):
        attribute = _field(6, graph)
        graph = _field(1, _field(5, attribute))
    return _field(7, graph)


def _field(number: int, content: bytes) -> bytes:
    length, rest = bytearray(), len(content)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return bytes([number << 3 | 2]) + bytes(length) + content


def _at_run_time() -> Iterable[Hostile]:
    """What no look at the file can tell; made for limits of seconds and 1 GiB."""
    yield Hostile("64 GiB at once", graphs.memory_bomb(), "MB of memory")
    yield Hostile("folded at load", graphs.memory_bomb_on_load(), "MB of memory")
    yield Hostile("doubling in a loop", graphs.doubling_loop(), "MB of memory")
    yield Hostile("endless loop", graphs.slow_loop(), "did not end within")
    yield Hostile("slow functions", graphs.hang_on_load(15), "raise VALIDATION_")
    yield Hostile(
        "other type than declared",
        changed(lambda m: m.graph.output[0].CopyFrom(graphs.tensor("y", INT64, ["N"]))),
        "ONNX Runtime cannot load this model",
    )


def static_models() -> list[Hostile]:
    """Those that a look at the file must find."""
    makers = (
        _tensors,
        _sparse_tensors,
        _external_data,
        _operators,
        _declarations,
        _names,
        _structure,
    )
    return [hostile for make in makers for hostile in make()]


def models() -> list[Hostile]:
    return [*static_models(), *_at_run_time()]


def sample() -> list[Hostile]:
    """One of each seven by a look, and all that only a run shows."""
    return [*static_models()[3::7], *_at_run_time()]


def main() -> None:
    root = Path(sys.argv[1])
    for number, hostile in enumerate(models()):
        folder = root / f"{number:03}"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(hostile.model)
        (folder / "name.txt").write_text(f"{hostile.name}\n{hostile.says}\n")
        for name, data in hostile.companions.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
