import itertools
import time
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from app.engine import operators
from app.engine.static_checks import ModelFacts, check, parse
from app.errors import InvalidModel
from tests import graphs, hostile
from tests.hostile import (
    branching,
    calling,
    external,
    function,
    sparse,
    with_nodes,
)
from tests.mutations import mutants


def facts(data: bytes, *companions: str) -> ModelFacts:
    sizes = dict.fromkeys(companions, 2**20)
    return check(parse(data), sizes, size_bytes=len(data))


def refusal(data: bytes, *companions: str) -> str:
    with pytest.raises(InvalidModel) as caught:
        facts(data, *companions)
    return caught.value.detail


def call(name: str) -> NodeProto:
    return helper.make_node(name, ["a"], ["b"], domain="local")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"not a model", "it is of another kind, or cut short"),
        (graphs.add_one()[:60], "it is of another kind, or cut short"),
        (b"\x08\x0a", "it has no graph"),
    ],
)
def test_what_is_no_model_is_called_so(data: bytes, reason: str) -> None:
    assert refusal(data) == f"this file is not an ONNX model ({reason})"


def test_a_model_without_outputs_is_refused() -> None:
    assert "no outputs" in refusal(graphs.no_outputs())


def test_nodes_and_parameters_are_counted_everywhere() -> None:
    found = facts(graphs.slow_loop())
    assert found.node_count == 3
    assert found.parameter_count == 2


@pytest.mark.parametrize("depth", [17, 60, 2000])
def test_a_function_bomb_is_found_without_expanding_it(depth: int) -> None:
    started = time.process_time()
    message = refusal(graphs.hang_on_load(depth))
    assert "40,000 is the limit" in message or "64 is the limit" in message
    assert time.process_time() - started < 10


def test_functions_within_the_limit_pass() -> None:
    assert facts(graphs.hang_on_load(10)).node_count == 22


def test_a_deep_chain_of_functions_is_refused() -> None:
    chain = [function("f0", helper.make_node("Abs", ["a"], ["b"]))]
    chain += [function(f"f{n}", call(f"f{n - 1}")) for n in range(1, 70)]
    assert "call each other 70 deep; 64 is the limit" in refusal(calling("f69", *chain))


def test_functions_that_call_themselves_are_refused() -> None:
    one, other = function("f", call("g")), function("g", call("f"))
    assert "calls itself" in refusal(calling("f", one, other))
    assert "calls itself" in refusal(calling("f", function("f", call("f"))))


def test_calls_inside_a_branch_count() -> None:
    inner = helper.make_node("f20", ["x"], ["out"], domain="local")
    bomb = ModelProto.FromString(graphs.hang_on_load(20))
    bomb.graph.node[0].CopyFrom(branching(inner))
    assert "40,000 is the limit" in refusal(bomb.SerializeToString())


def test_graphs_nested_too_deep_are_refused() -> None:
    node = helper.make_node("Identity", ["x"], ["out"])
    for _ in range(17):
        node = branching(node)
        node.output[0] = "out"
        del node.attribute[1]
    model = ModelProto.FromString(with_nodes())
    model.graph.node.append(node)
    with pytest.raises(InvalidModel, match="nests graphs more than 16 deep"):
        check(model, {}, size_bytes=0)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("RandomNormal", [], ["out"], shape=[1]),
        helper.make_node("Bernoulli", ["x"], ["out"]),
        helper.make_node("Multinomial", ["x"], ["out"]),
        helper.make_node("RandomUniformLike", ["x"], ["out"]),
        helper.make_node("Dropout", ["x", "", "flag"], ["out"]),
    ],
    ids=lambda node: node.op_type,
)
def test_random_operators_are_found_in_branches_and_functions(node: NodeProto) -> None:
    assert facts(with_nodes(branching(node))).random_operators
    assert facts(calling("f", function("f", node))).random_operators


def test_random_operators_are_found_in_the_defaults_of_functions() -> None:
    assert facts(graphs.random_in_a_default()).random_operators == {"RandomNormal"}


def test_calls_in_the_defaults_of_functions_count() -> None:
    bomb = ModelProto.FromString(graphs.hang_on_load(20))
    inner = helper.make_node("f20", ["a"], ["out"], domain="local")
    graph = helper.make_graph(
        [inner], "graph", [], [graphs.tensor("out", graphs.FLOAT, None)]
    )
    hiding = function("hiding", helper.make_node("Abs", ["a"], ["b"]))
    hiding.attribute_proto.append(helper.make_attribute("graph", graph))
    bomb.functions.append(hiding)
    bomb.graph.node[0].op_type = "hiding"
    assert "40,000 is the limit" in refusal(bomb.SerializeToString())


def test_a_constant_that_only_looks_false_is_not() -> None:
    constant = helper.make_node("Constant", [], ["mode"], value_ints=[1])
    constant.attribute[0].t.CopyFrom(
        helper.make_tensor("off", TensorProto.BOOL, [], [False])
    )
    dropout = helper.make_node("Dropout", ["x", "", "mode"], ["y"])
    assert facts(with_nodes(constant, dropout)).random_operators


def with_sparse(*tensors: Any) -> bytes:
    model = ModelProto.FromString(graphs.add_one())
    model.graph.sparse_initializer.extend(tensors)
    return bytes(model.SerializeToString())


def test_sparse_tensors_far_larger_than_the_file_are_refused() -> None:
    assert facts(with_sparse(sparse(2**24)))
    message = refusal(with_sparse(sparse(4 * 10**8)))
    assert "sparse tensors have 1,600,000,000 bytes once they are written" in message
    assert "67,108,864 is the limit" in message
    assert "sparse tensors" in refusal(with_sparse(sparse(2**23), sparse(2**24)))
    constant = helper.make_node("Constant", [], ["y"], sparse_value=sparse(4 * 10**8))
    assert "sparse tensors" in refusal(with_nodes(constant))


def test_large_files_may_hold_large_sparse_tensors() -> None:
    model = parse(with_sparse(sparse(4 * 10**8)))
    assert check(model, {}, size_bytes=10**8)


def test_dropout_that_never_trains_is_not_random() -> None:
    off = helper.make_tensor("off", TensorProto.BOOL, [], [False])
    constant = helper.make_node("Constant", [], ["off"], value=off)
    assert not facts(
        with_nodes(constant, helper.make_node("Dropout", ["x", "", "off"], ["y"]))
    ).random_operators
    assert not facts(
        with_nodes(helper.make_node("Dropout", ["x"], ["y"]))
    ).random_operators


@pytest.mark.parametrize("hide", hostile.PLACES)
@pytest.mark.parametrize(
    "location", ["model.onnx.data", "../x", "/etc/passwd", "a/b", "secret.env"]
)
def test_files_that_were_not_sent_are_asked_for(hide: Any, location: str) -> None:
    assert refusal(hide(external(location))) == (
        f"this model refers to `{location}`; send that file too as a second part named "
        "`data`, or export with external_data=False"
    )


@pytest.mark.parametrize("hide", hostile.PLACES)
def test_files_that_were_sent_are_known(hide: Any) -> None:
    assert facts(hide(external("w.bin")), "w.bin").external_files == {"w.bin"}


def test_a_file_sent_for_nothing_is_named() -> None:
    assert "the file `w.bin` was sent too" in refusal(graphs.add_one(), "w.bin")


@pytest.mark.parametrize("count", [0, 2])
def test_an_external_tensor_names_one_file(count: int) -> None:
    model = ModelProto.FromString(graphs.external_data_pair()[0])
    data = model.graph.initializer[0].external_data
    kept = [item for item in data if item.key == "location"] * count
    del data[:]
    data.extend(kept)
    message = refusal(model.SerializeToString(), "model.onnx.data")
    assert f'the tensor "k" lies in another file, but names {count} files' in message


def test_the_locales_that_nodes_ask_for_are_known() -> None:
    assert facts(graphs.strings_upper()).locales == {"C"}
    default = helper.make_node("StringNormalizer", ["x"], ["y"])
    assert facts(with_nodes(default)).locales == {"en_US.UTF-8"}


def test_weights_count_by_their_shape() -> None:
    model = graphs.model_bytes(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [graphs.tensor("x", graphs.FLOAT, ["N", 8])],
        [graphs.tensor("y", graphs.FLOAT, ["N", 3])],
        initializers={"w": np.zeros((8, 3), np.float32)},
    )
    assert facts(model).parameter_count == 24


def test_the_parameters_of_classical_models_count() -> None:
    # Two weights and an intercept for each of three labels.
    assert facts(graphs.classifier_zipmap((0, 1, 2))).parameter_count == 9


@pytest.mark.parametrize("name", [b"Add", b"one", b"mlforge-tests", b"local"])
def test_a_name_that_is_no_text_is_called_so(name: bytes) -> None:
    data = graphs.add_one().replace(name, b"\xff" * len(name))
    assert "a name that is not UTF-8 text" in refusal(data)


@pytest.mark.parametrize("made", hostile.static_models(), ids=lambda made: made.name)
def test_a_hostile_file_is_refused_by_a_look_at_it(made: hostile.Hostile) -> None:
    sizes = {name: len(data) for name, data in made.companions.items()}
    size_bytes = len(made.model) + sum(sizes.values())
    with pytest.raises(InvalidModel) as caught:
        check(parse(made.model), sizes, size_bytes=size_bytes)
    assert made.says in caught.value.detail
    assert len(caught.value.detail) < 1000


def test_names_of_other_languages_are_names() -> None:
    model = ModelProto.FromString(graphs.add_one())
    for name in ("длина (см)", "長さ\u00a0cm", "🙂"):
        model.graph.input.append(graphs.tensor(name, graphs.FLOAT, [1]))
    assert facts(model.SerializeToString())


def test_operators_of_the_runtime_are_allowed_where_their_domain_is() -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    model = parse(with_nodes(node))
    assert check(model, {}, size_bytes=100)
    with pytest.raises(InvalidModel, match=r"operators of ai\.onnx are allowed"):
        check(model, {}, size_bytes=100, domains=["ai.onnx"])


def test_every_operator_on_the_list_runs_on_the_cpu() -> None:
    kernels = {
        kernel.op_name
        for kernel in ort_state.get_all_opkernel_def()
        if kernel.domain == "com.microsoft"
        and kernel.provider == "CPUExecutionProvider"
    }
    assert kernels >= operators.CONTRIBUTED_OPERATORS


def test_a_look_at_whatever_file_ends_in_facts_or_a_refusal() -> None:
    endings = {"facts": 0, "refusal": 0}
    for data in itertools.islice(mutants(7), 1000):
        try:
            facts(data)
            endings["facts"] += 1
        except InvalidModel:
            endings["refusal"] += 1
    assert min(endings.values()) > 100
