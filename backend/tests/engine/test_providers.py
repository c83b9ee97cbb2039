from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper
from structlog.testing import capture_logs

from app.engine.loading import load_session
from app.engine.plan import SessionPlan, SessionPlans
from app.engine.providers import (
    CPU,
    BadProvider,
    checked_providers,
    offered_providers,
)
from app.engine.session import Session
from app.errors import InvalidModel
from tests import graphs
from tests.engine.conftest import WriteModel

# The CPU's wheel offers this one beside the CPU; it takes no node of an ONNX model.
IDLE = "AzureExecutionProvider"
CUDA = "CUDAExecutionProvider"
INPUTS = {"x": np.ones(1, np.float32)}


@pytest.fixture(autouse=True)
def _without_gpu() -> None:
    assert ort.get_available_providers() == [IDLE, CPU]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([], (CPU,)),
        (["cpu"], (CPU,)),
        ([CPU, "cpu"], (CPU,)),
        ([IDLE], (IDLE, CPU)),
        (["cpu", IDLE], (CPU, IDLE)),
    ],
)
def test_names_become_onnx_runtimes_own_with_the_cpu_among_them(
    given: list[str], names: tuple[str, ...]
) -> None:
    assert checked_providers(given) == names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "cuda",
            ['"cuda"', "offers cpu, AzureExecution", "install onnxruntime-gpu in"],
        ),
        (CUDA, ['"cuda"', "install onnxruntime-gpu in"]),
        ("openvino", ["install onnxruntime-openvino in"]),
        ("QNNExecutionProvider", ["install a build that has it in"]),
        ("gpu", ['"gpu" is no', "cpu, cuda, tensorrt", "offers cpu, Azure"]),
        ("", ['"" is no']),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(
    name: str, words: list[str]
) -> None:
    with pytest.raises(BadProvider) as caught:
        checked_providers(["cpu", name])
    for each in words:
        assert each in str(caught.value)


def test_a_stored_provider_that_is_not_offered_here_is_left_out() -> None:
    assert offered_providers(["cuda", "nonsense", IDLE, "cpu"]) == (IDLE, CPU)
    plan = SessionPlans(threads=2).plan(providers=("cuda",))
    assert plan.providers == (CPU,)


def load(write_model: WriteModel, *providers: str) -> tuple[Session, list[Any]]:
    plan = SessionPlan(providers=providers)
    with capture_logs() as lines:
        return load_session(write_model(graphs.add_one()), plan), lines


def test_on_the_cpu_nothing_is_said(
    write_model: WriteModel, capfd: pytest.CaptureFixture[str]
) -> None:
    session, lines = load(write_model, CPU)
    assert session.execution.providers == (CPU,)
    assert lines == []
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_runs_no_node_is_not_named_and_warned_of(
    write_model: WriteModel, capfd: pytest.CaptureFixture[str]
) -> None:
    session, (line,) = load(write_model, IDLE, CPU)
    assert session.execution.providers == (CPU,)
    assert session.run(INPUTS, None)["y"] == 2
    assert line["log_level"] == "warning"
    assert (line["provider"], line["runs_on"]) == (IDLE, ["cpu"])
    assert "no node" in line["reason"]
    assert capfd.readouterr() == ("", "")


def test_a_model_that_is_constant_is_the_cpus(write_model: WriteModel) -> None:
    node = helper.make_node("Constant", [], ["y"], value_float=2.5)
    model = graphs.model_bytes([node], [], [graphs.tensor("y", graphs.FLOAT, [])])
    with capture_logs():
        session = load_session(write_model(model), SessionPlan(providers=(IDLE, CPU)))
    assert session.execution.providers == (CPU,)
    assert session.run({}, None)["y"] == 2.5


def test_where_a_provider_keeps_the_session_from_starting_the_cpu_runs_it(
    write_model: WriteModel, capfd: pytest.CaptureFixture[str]
) -> None:
    # ONNX Runtime refuses these two in one session.
    clash = ("TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
    session, lines = load(write_model, *clash, CPU)
    assert session.execution.providers == (CPU,)
    assert session.run(INPUTS, None)["y"] == 2
    assert [line["provider"] for line in lines] == ["tensorrt", clash[1]]
    assert all("Cannot enable both" in line["reason"] for line in lines)
    assert capfd.readouterr() == ("", "")


def test_a_broken_model_is_the_models_fault_whatever_the_provider(
    write_model: WriteModel, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidModel):
        load_session(write_model(b"junk"), SessionPlan(providers=(IDLE, CPU)))
    assert capfd.readouterr() == ("", "")
