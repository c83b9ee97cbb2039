import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from app.engine.loading import load_from_memory, load_session
from app.engine.plan import SessionPlan
from app.engine.signature import check_inputs
from app.engine.tensors import BY_NAME, ELEMENT_TYPES, ElementType
from app.errors import (
    InferenceFailed,
    InferenceTimeout,
    InvalidInput,
    InvalidModel,
    Unavailable,
)
from tests import graphs
from tests.engine.conftest import OpenModel, WriteModel

RUN_BY_IDENTITY = [
    element
    for element in ELEMENT_TYPES
    if element.bits >= 8 and not element.is_string and element.name != "float8_e8m0fnu"
]
RUN_BY_CAST = [
    element
    for element in ELEMENT_TYPES
    if not element.is_string and element.name != "float4_e2m1fn"
]


def strings(*elements: str | bytes) -> np.ndarray[Any, Any]:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array


def test_outputs_come_by_name_in_the_models_order(open_model: OpenModel) -> None:
    session = open_model(graphs.two_inputs())
    inputs = {"a": np.ones((2, 2), np.float32), "b": np.full((2, 2), 3, np.int64)}
    outputs = session.run(inputs, None)
    assert list(outputs) == ["total", "product"]
    np.testing.assert_array_equal(outputs["total"], np.full((2, 2), 4, np.float32))
    np.testing.assert_array_equal(outputs["product"], np.full((2, 2), 9, np.int64))


def test_only_the_outputs_wanted_come(open_model: OpenModel) -> None:
    session = open_model(graphs.two_inputs())
    inputs = {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 2), np.int64)}
    assert list(session.run(inputs, ["product"])) == ["product"]


def test_results_are_those_of_onnxs_reference(open_model: OpenModel) -> None:
    model = graphs.affine(0.1, width=5)
    x = np.random.default_rng(1).standard_normal((7, 5)).astype(np.float32)
    expected: Any = ReferenceEvaluator(model).run(None, {"x": x})
    got = open_model(model).run({"x": x}, None)["y"]
    np.testing.assert_allclose(got, expected[0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0)])
@pytest.mark.parametrize("element", RUN_BY_IDENTITY, ids=lambda e: e.name)
def test_every_element_type_comes_back_bit_for_bit(
    open_model: OpenModel, element: ElementType, shape: tuple[int, ...]
) -> None:
    session = open_model(graphs.identity(element.onnx_code, shape=None))
    array = np.random.default_rng(3).integers(0, 2, shape).astype(element.dtype)
    array = np.asarray(array)
    check_inputs(session.signature, {"x": array})
    back = session.run({"x": array}, None)["y"]
    assert back.dtype == element.dtype
    assert back.shape == shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("element", RUN_BY_CAST, ids=lambda e: e.name)
def test_every_element_type_is_computed_with(
    open_model: OpenModel, element: ElementType
) -> None:
    x = np.array([1, 0, 1, 1, 0], np.float32)
    if element.name == "float8_e8m0fnu":
        x = np.array([1, 2, 4, 0.5, 1], np.float32)  # It has powers of two only.
    there = open_model(graphs.cast(TensorProto.FLOAT, element.onnx_code))
    back = open_model(graphs.cast(element.onnx_code, TensorProto.FLOAT))
    middle = there.run({"x": x}, None)["y"]
    assert middle.dtype == element.dtype
    assert middle.tobytes() == x.astype(element.dtype).tobytes()
    np.testing.assert_array_equal(back.run({"x": middle}, None)["y"], x)


def test_values_that_are_no_numbers_survive(open_model: OpenModel) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    y = open_model(graphs.identity(TensorProto.FLOAT)).run({"x": x}, None)["y"]
    assert y.tobytes() == x.tobytes()


def test_arrays_of_any_layout_are_taken(open_model: OpenModel) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4).T[:, ::2]
    for element in ("float32", "bfloat16"):
        dtype = BY_NAME[element].dtype
        model = graphs.identity(BY_NAME[element].onnx_code, shape=None)
        y = open_model(model).run({"x": x.astype(dtype)}, None)["y"]
        np.testing.assert_array_equal(y.astype(np.float32), x)


def test_text_goes_through_a_model(open_model: OpenModel) -> None:
    session = open_model(graphs.strings_upper())
    upper = session.run({"text": strings("straße", "", "a\0b")}, None)["upper"]
    assert upper.tolist()[1:] == ["", "A\0B"]


@pytest.mark.parametrize("shape", [(), (0,), (2, 2)])
def test_string_tensors_keep_their_shape(
    open_model: OpenModel, shape: tuple[int, ...]
) -> None:
    session = open_model(graphs.string_identity(None))
    back = session.run({"x": np.full(shape, "é", dtype=object)}, None)["y"]
    assert back.shape == shape
    assert back.tolist() == np.full(shape, "é", dtype=object).tolist()


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_bytes_that_are_not_utf8_come_back_as_bytes(
    open_model: OpenModel, shape: tuple[int, ...]
) -> None:
    session = open_model(graphs.string_identity(None))
    sent = strings(b"\xff\x00\xfe", "é", b"\x80" * 100, "").reshape(shape)
    back = session.run({"x": sent}, None)["y"]
    assert back.tolist() == sent.tolist()


def test_bytes_that_are_utf8_become_text(open_model: OpenModel) -> None:
    session = open_model(graphs.string_identity())
    back = session.run({"x": strings(b"abc", "d")}, None)["y"]
    assert back.tolist() == ["abc", "d"]


def test_a_lone_surrogate_is_the_callers_mistake(open_model: OpenModel) -> None:
    session = open_model(graphs.string_identity())
    with pytest.raises(InvalidInput, match="surrogate"):
        session.run({"x": strings("\ud800")}, None)


def test_an_element_that_is_no_string_is_refused(open_model: OpenModel) -> None:
    session = open_model(graphs.string_identity())
    with pytest.raises(InvalidInput, match=r'input "x": .* got int'):
        session.run({"x": np.array(["a", 1], dtype=object)}, None)


def test_text_and_bfloat16_can_go_into_one_model(open_model: OpenModel) -> None:
    model = graphs.model_bytes(
        [
            helper.make_node("Identity", ["s"], ["t"]),
            helper.make_node("Identity", ["b"], ["c"]),
        ],
        [
            graphs.tensor("s", graphs.STRING, None),
            graphs.tensor("b", graphs.BF16, None),
        ],
        [
            graphs.tensor("t", graphs.STRING, None),
            graphs.tensor("c", graphs.BF16, None),
        ],
    )
    b = np.array([1.5, -2], ml_dtypes.bfloat16)
    out = open_model(model).run({"s": strings("é", b"\xff"), "b": b}, None)
    assert out["t"].tolist() == ["é", b"\xff"]
    assert out["c"].tobytes() == b.tobytes()


def test_sequences_go_in_and_out(open_model: OpenModel) -> None:
    session = open_model(graphs.sequence_identity())
    sent = [np.zeros(2, np.float32), np.ones((1, 3), np.float32)]
    back = session.run({"xs": list(sent)}, None)["ys"]
    for there, here in zip(sent, back, strict=True):
        np.testing.assert_array_equal(there, here)
    assert session.run({"xs": []}, None)["ys"] == []


def test_sequences_of_text_go_in(open_model: OpenModel) -> None:
    model = graphs.model_bytes(
        [helper.make_node("Identity", ["xs"], ["ys"])],
        [helper.make_tensor_sequence_value_info("xs", graphs.STRING, None)],
        [helper.make_tensor_sequence_value_info("ys", graphs.STRING, None)],
    )
    session = open_model(model)
    (item,) = session.run({"xs": [strings("a", b"b")]}, None)["ys"]
    assert item.tolist() == ["a", "b"]
    with pytest.raises(InvalidInput, match=r'input "xs": .* takes no seq\(string\)'):
        session.run({"xs": [strings(b"\xff")]}, None)


def test_optionals_go_in_and_out(open_model: OpenModel) -> None:
    session = open_model(graphs.optional_identity())
    there = session.run({"x": np.ones(2, np.float32)}, None)
    np.testing.assert_array_equal(there["y"], np.ones(2, np.float32))
    assert there["there"]
    gone = session.run({"x": None}, None)
    assert gone["y"] is None
    assert not gone["there"]


def test_maps_go_in(open_model: OpenModel) -> None:
    session = open_model(graphs.map_input())
    y = session.run({"x": {"a": 1.0, "z": 9.0}}, None)["y"]
    np.testing.assert_array_equal(y, np.array([[1, 0]], np.float32))


@pytest.mark.parametrize("labels", [(0, 1), ("cat", "dog", "owl")])
def test_a_classifier_gives_a_map_per_row(
    open_model: OpenModel, labels: tuple[int, ...] | tuple[str, ...]
) -> None:
    x = np.array([[1, 2], [3, -1]], np.float32)
    out = open_model(graphs.classifier_zipmap(labels)).run({"X": x}, None)
    scores = np.stack([x[:, 0], x[:, 1], x.sum(axis=1)][: len(labels)], axis=1)
    odds = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    probabilities = out["probabilities"]
    for row, given in zip(odds, probabilities, strict=True):
        assert list(given) == list(labels)
        np.testing.assert_allclose(list(given.values()), row, rtol=1e-5)


def test_a_zero_size_output_keeps_its_shape(open_model: OpenModel) -> None:
    y = open_model(graphs.zero_size()).run({"x": np.ones((2, 3), np.float32)}, None)
    assert y["y"].shape == (2, 0)


def test_companion_files_beside_the_model_are_read(open_model: OpenModel) -> None:
    model, data = graphs.external_data_pair(k=3.0)
    session = open_model(model, {"model.onnx.data": data})
    y = session.run({"x": np.ones((1, 3), np.float32)}, None)["y"]
    np.testing.assert_array_equal(y, np.full((1, 3), 3, np.float32))


def test_a_model_and_its_companion_load_from_memory() -> None:
    model, data = graphs.external_data_pair(k=3.0)
    session = load_from_memory(model, {"model.onnx.data": data}, threads=1)
    y = session.run({"x": np.ones((1, 3), np.float32)}, None)["y"]
    np.testing.assert_array_equal(y, np.full((1, 3), 3, np.float32))


def test_files_outside_the_models_folder_are_not_read(
    tmp_path: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 12)
    monkeypatch.chdir(tmp_path)
    for location in ("../secret", str(tmp_path / "secret"), "secret"):
        folder = write_model(graphs.external_data_pair(location)[0])
        with pytest.raises(InvalidModel) as caught:
            load_session(folder, SessionPlan())
        assert str(folder) not in caught.value.detail


@pytest.mark.parametrize("data", [b"", b"junk", graphs.add_one()[:60], b"ORTM" * 9])
def test_what_is_no_model_is_refused(write_model: WriteModel, data: bytes) -> None:
    folder = write_model(data)
    with pytest.raises(InvalidModel, match="ONNX Runtime cannot load") as caught:
        load_session(folder, SessionPlan())
    assert str(folder) not in caught.value.detail
    assert "ONNXRuntimeError" not in caught.value.detail


def test_a_run_that_fails_says_why_without_internals(open_model: OpenModel) -> None:
    session = open_model(graphs.fails_on_run())
    with pytest.raises(InferenceFailed) as caught:
        session.run({"x": np.ones(2, np.float32), "y": np.ones(3, np.float32)}, None)
    assert "node Add" in caught.value.detail
    assert "onnxruntime" not in caught.value.detail


def test_want_of_memory_is_not_the_callers_mistake(open_model: OpenModel) -> None:
    session = open_model(graphs.memory_bomb(gib=2**20))
    with pytest.raises(Unavailable, match="not enough memory"):
        session.run({"x": np.ones(1, np.float32)}, None)


def test_a_run_past_its_deadline_is_stopped(open_model: OpenModel) -> None:
    session = open_model(graphs.slow_loop())
    with pytest.raises(InferenceTimeout, match=r"its limit of 0\.2 s"):
        session.run(
            {"x": np.ones(1, np.float32)}, None, deadline=time.monotonic() + 0.2
        )


def test_a_run_within_its_deadline_is_not(open_model: OpenModel) -> None:
    session = open_model(graphs.counted_loop())
    y = session.run(
        {"x": np.ones(1, np.float32), "n": np.array(5)},
        None,
        deadline=time.monotonic() + 60,
    )
    assert y["y"] == 6


def test_a_model_of_random_weights_agrees_with_plain_numpy(
    open_model: OpenModel,
) -> None:
    random = np.random.default_rng(5)
    weights = random.standard_normal((8, 3)).astype(np.float32)
    model = graphs.model_bytes(
        [
            helper.make_node("MatMul", ["x", "w"], ["xw"]),
            helper.make_node("Tanh", ["xw"], ["y"]),
        ],
        [graphs.tensor("x", graphs.FLOAT, ["N", 8])],
        [graphs.tensor("y", graphs.FLOAT, ["N", 3])],
        initializers={"w": weights},
    )
    x = random.standard_normal((4, 8)).astype(np.float32)
    y = open_model(model).run({"x": x}, None)["y"]
    np.testing.assert_allclose(y, np.tanh(x @ weights), rtol=1e-5, atol=1e-6)


def test_the_signature_is_the_models(open_model: OpenModel) -> None:
    signature = open_model(graphs.columns(2)).signature
    assert [each.as_json() for each in signature.inputs] == [
        {"name": "number0", "dtype": "float32", "shape": ["N", 1]},
        {"name": "text1", "dtype": "string", "shape": ["N", 1]},
    ]
    assert signature.input("text1").dtype == "string"
    assert signature.output("score").shape == ("N", 1)
