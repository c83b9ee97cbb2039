from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper

from app.engine.cost_bounds import has_bounded_cost
from tests import graphs


def is_bounded(data: bytes) -> bool:
    return has_bounded_cost(ModelProto.FromString(data))


def of_nodes(*nodes: NodeProto, functions: Any = ()) -> bytes:
    """Of x float32 [N], n int64 [1], flag bool [] and the constant `fixed` [1]."""
    return graphs.model_bytes(
        nodes,
        [
            graphs.tensor("x", graphs.FLOAT, ["N"]),
            graphs.tensor("n", graphs.INT64, [1]),
            graphs.tensor("flag", graphs.BOOL, []),
        ],
        [graphs.tensor("y", graphs.FLOAT, None)],
        initializers={"fixed": np.array([3], np.int64)},
        functions=functions,
    )


def expand(name: str) -> NodeProto:
    return helper.make_node("Expand", ["x", name], ["y"])


@pytest.mark.parametrize(
    "model",
    [
        graphs.add_one(),
        graphs.affine(),
        graphs.columns(4),
        graphs.classifier_zipmap(("a", "b")),
        graphs.strings_upper(),
        graphs.row_mean(),
        graphs.zero_size(),
        graphs.unstoppable(),
        graphs.random_normal(),
    ],
)
def test_the_cost_of_most_models_follows_from_shapes(model: bytes) -> None:
    assert is_bounded(model)


@pytest.mark.parametrize(
    "model",
    [
        graphs.expanded(),
        graphs.counted_loop(),
        graphs.slow_loop(),
        graphs.random_in_branch(),
        graphs.random_in_a_default(),
        graphs.sequence_identity(),
        graphs.map_input(),
        of_nodes(helper.make_node("Range", ["n", "n", "n"], ["y"])),
        of_nodes(helper.make_node("ConstantOfShape", ["n"], ["y"])),
        of_nodes(helper.make_node("Tile", ["x", "n"], ["y"])),
        of_nodes(helper.make_node("Resize", ["x", "", "", "n"], ["y"])),
        of_nodes(helper.make_node("Pad", ["x", "n"], ["y"])),
        of_nodes(helper.make_node("OneHot", ["n", "n", "x"], ["y"])),
        of_nodes(helper.make_node("NonZero", ["x"], ["y"])),
        of_nodes(helper.make_node("ReduceSum", ["x", "n"], ["y"])),
        of_nodes(helper.make_node("HannWindow", ["n"], ["y"])),
        of_nodes(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")),
    ],
)
def test_work_that_follows_from_values_is_found(model: bytes) -> None:
    assert not is_bounded(model)


def test_constants_and_shapes_decide_nothing_that_values_could() -> None:
    constant = helper.make_node("Constant", [], ["c"], value_ints=[3])
    shape = helper.make_node("Shape", ["x"], ["s"])
    assert is_bounded(of_nodes(expand("fixed")))
    assert is_bounded(of_nodes(constant, expand("c")))
    assert is_bounded(of_nodes(shape, expand("s")))
    twice = helper.make_node("Add", ["s", "fixed"], ["t"])
    assert is_bounded(of_nodes(shape, twice, expand("t")))
    mixed = helper.make_node("Add", ["s", "n"], ["t"])
    assert not is_bounded(of_nodes(shape, mixed, expand("t")))
    drawn = helper.make_node("RandomUniform", [], ["r"], shape=[1], high=1e9)
    cast = helper.make_node("Cast", ["r"], ["t"], to=graphs.INT64)
    assert not is_bounded(of_nodes(drawn, cast, expand("t")))


@pytest.mark.parametrize("domain", ["", "local"])
def test_functions_are_judged_by_what_is_in_them(domain: str) -> None:
    def calling(inner: NodeProto) -> bytes:
        function = helper.make_function(
            domain, "f", ["x", "n"], ["y"], [inner], [helper.make_opsetid("", 21)]
        )
        call = helper.make_node("f", ["x", "n"], ["y"], domain=domain)
        return of_nodes(call, functions=[function])

    assert is_bounded(calling(helper.make_node("Abs", ["x"], ["y"])))
    assert not is_bounded(calling(expand("n")))
