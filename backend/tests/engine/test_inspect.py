import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
from onnx import helper

from app.engine import children as children_module
from app.engine.inspect import Inspector
from app.errors import InvalidModel, Overloaded
from tests import graphs
from tests.engine.conftest import WriteModel
from tests.mutations import mutants

# Passes the static checks, and takes ONNX Runtime seconds to load.
SLOW_TO_LOAD = graphs.hang_on_load(15)


def inspector(**changes: Any) -> Inspector:
    limits = {"timeout_s": 60.0, "cpu_s": 60, "memory_mb": 2048, "concurrency": 2}
    return Inspector(**{**limits, **changes})


def children() -> list[psutil.Process]:
    """This process's own: servers that other tests keep have some too."""
    return children_of(psutil.Process())


def children_of(parent: psutil.Process) -> list[psutil.Process]:
    family = parent.children()
    return [child for child in family if "app.engine.child" in command_of(child)]


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def has_its_limits(child: psutil.Process) -> bool:
    return bool(child.rlimit(psutil.RLIMIT_CORE) == (0, 0))


async def until(condition: Callable[[], Any]) -> Any:
    """What `condition` gives once it is true of a process, which tells nobody."""
    for _ in range(3000):
        if result := condition():
            return result
        await asyncio.sleep(0.01)
    raise TimeoutError


async def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(InvalidModel) as caught:
        await inspector(**changes).inspect(folder)
    assert str(folder) not in caught.value.detail
    assert children() == []
    return caught.value.detail


async def test_a_model_is_described(write_model: WriteModel) -> None:
    folder = write_model(graphs.affine(2.0, width=3))
    found = await inspector().inspect(folder)
    assert [spec.as_json() for spec in found.signature.inputs] == [
        {"name": "x", "dtype": "float32", "shape": ["N", 3]}
    ]
    report = found.report
    assert report["onnxruntime"] == onnxruntime.__version__
    assert report["ir_version"] == graphs.IR_VERSION
    assert report["opsets"][""] == graphs.OPSET
    assert report["producer"] == "mlforge-tests"
    assert report["parameter_count"] == 2
    assert report["node_count"] == 2
    assert report["deterministic"] is True
    assert report["batchable"] is True
    assert report["latency_ms"] > 0
    assert report["memory_bytes"] > 0
    assert report["dry_run"] == {"ok": True, "error": None}
    assert found.feature_names is None
    assert children() == []


async def test_scalars_and_unknown_ranks_are_told_apart(
    write_model: WriteModel,
) -> None:
    scalar = await inspector().inspect(write_model(graphs.scalar()))
    assert scalar.signature.input("x").shape == ()
    model = graphs.identity(graphs.FLOAT, shape=None)
    unknown = await inspector().inspect(write_model(model))
    assert unknown.signature.input("x").shape is None


@pytest.mark.parametrize(
    ("model", "deterministic", "batchable"),
    [
        (graphs.columns(4), True, True),
        (graphs.bf16_identity(), True, True),
        (graphs.zero_size(), True, True),
        (graphs.two_inputs(), True, True),
        (graphs.row_mean(), True, False),
        (graphs.scalar(), True, False),
        (graphs.classifier_zipmap(("a", "b")), True, False),
        (graphs.sequence_identity(), True, False),
        (graphs.map_input(), True, False),
        (graphs.optional_identity(), True, False),
        (graphs.random_normal(), False, False),
        (graphs.random_in_branch(), False, False),
    ],
)
async def test_what_running_it_shows(
    write_model: WriteModel, model: bytes, deterministic: bool, batchable: bool
) -> None:
    found = await inspector().inspect(write_model(model))
    assert found.report["dry_run"] == {"ok": True, "error": None}
    assert found.report["deterministic"] is deterministic
    assert found.report["batchable"] is batchable
    assert (found.report["deterministic_reason"] is None) is deterministic
    assert (found.report["batchable_reason"] is None) is batchable


async def test_images_of_free_size_are_made_large_enough(
    write_model: WriteModel,
) -> None:
    weights = np.ones((1, 3, 20, 20), np.float32)
    model = graphs.model_bytes(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        [graphs.tensor("x", graphs.FLOAT, ["N", 3, "H", "W"])],
        [graphs.tensor("y", graphs.FLOAT, ["N", 1, "h", "w"])],
        initializers={"w": weights},
    )
    found = await inspector().inspect(write_model(model))
    assert found.report["dry_run"]["ok"]
    assert found.report["batchable"] is True


@pytest.mark.parametrize(
    ("names", "width", "expected"),
    [
        (["a", "b", "c"], 3, ("a", "b", "c")),
        (["a", "b"], 3, None),
        ([], 3, None),
        ([1, 2, 3], 3, None),
    ],
)
async def test_feature_names_are_taken_when_they_fit(
    write_model: WriteModel, names: list[Any], width: int, expected: Any
) -> None:
    model = graphs.affine(width=width, feature_names=names)
    found = await inspector().inspect(write_model(model))
    assert found.feature_names == expected
    assert "feature_names" in found.metadata


async def test_a_companion_is_inspected_with_its_model(write_model: WriteModel) -> None:
    model, data = graphs.external_data_pair()
    found = await inspector().inspect(write_model(model, {"model.onnx.data": data}))
    assert found.report["parameter_count"] == 3
    assert found.report["batchable"] is True


@pytest.mark.parametrize(
    ("model", "companions", "reason"),
    [
        (b"", {}, "not an ONNX model (it is empty)"),
        (b"%PDF-1.7", {}, "not an ONNX model (it is of another kind, or cut short)"),
        (graphs.no_outputs(), {}, "no outputs"),
        (graphs.hang_on_load(), {}, "40,000 is the limit"),
        (graphs.external_data_pair("w")[0], {}, "this model refers to `w`"),
        (graphs.add_one(), {"w": b"x"}, "the file `w` was sent too"),
        (
            graphs.external_data_pair("w")[0],
            {"v": b"x"},
            "this model refers to `w`, but `v` came: send it with filename=w",
        ),
        (graphs.external_data_pair("w")[0], {"w": b""}, "the file `w` is empty"),
        (graphs.external_data_pair("w")[0], {"w": b"xy"}, "out of bounds"),
    ],
)
async def test_an_invalid_model_is_refused_with_its_reason(
    write_model: WriteModel, model: bytes, companions: dict[str, bytes], reason: str
) -> None:
    assert reason in await refusal(write_model(model, companions))


async def test_what_onnx_runtime_refuses_comes_in_its_cleaned_words(
    write_model: WriteModel,
) -> None:
    model = graphs.model_bytes(
        [helper.make_node("Abs", ["x"], ["y"], name="no_text")],
        [graphs.tensor("x", graphs.STRING, ["N"])],
        [graphs.tensor("y", graphs.STRING, ["N"])],
    )
    message = await refusal(write_model(model))
    assert message.startswith("ONNX Runtime cannot load this model: ")
    assert "no_text" in message
    assert "ONNXRuntimeError" not in message


async def test_a_model_that_hangs_while_loading_is_stopped(
    write_model: WriteModel,
) -> None:
    message = await refusal(write_model(SLOW_TO_LOAD), timeout_s=1.5)
    assert message == (
        "ONNX Runtime did not finish loading this file within 1.5 s; if that is meant, "
        "raise VALIDATION_TIMEOUT_S"
    )


async def test_a_model_that_burns_time_while_loading_is_stopped(
    write_model: WriteModel,
) -> None:
    message = await refusal(write_model(SLOW_TO_LOAD), cpu_s=1)
    assert message == (
        "loading this model took more than 1 s of CPU time; if that is meant, raise "
        "VALIDATION_CPU_S"
    )


async def test_a_model_that_fills_memory_while_loading_is_stopped(
    write_model: WriteModel,
) -> None:
    message = await refusal(write_model(graphs.memory_bomb_on_load()), memory_mb=1024)
    # The limit grows with the size of the file.
    assert re.fullmatch(
        r"loading this model needs more than 10\d\d MB of memory", message
    )


async def test_a_model_that_crashes_while_loading_is_refused(
    write_model: WriteModel,
) -> None:
    refused = asyncio.create_task(refusal(write_model(SLOW_TO_LOAD)))
    (child,) = await until(children)
    await until(lambda: has_its_limits(child))
    child.send_signal(signal.SIGSEGV)
    assert await refused == "ONNX Runtime crashed (signal 11) while loading this model"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            graphs.memory_bomb(),
            "needs more than 2048 MB of memory; if that is meant, raise "
            "VALIDATION_MEMORY_MB",
        ),
        (
            graphs.slow_loop(),
            "did not end within 3 s; if that is meant, raise VALIDATION_TIMEOUT_S",
        ),
    ],
)
async def test_a_model_whose_smallest_run_is_too_much_is_refused(
    write_model: WriteModel, model: bytes, reason: str
) -> None:
    message = await refusal(write_model(model), timeout_s=6.0)
    assert message == f"running this model on the smallest inputs {reason}"


async def test_a_smallest_run_that_cannot_be_stopped_ends_with_the_child(
    write_model: WriteModel,
) -> None:
    message = await refusal(write_model(squared(fixed=True)), timeout_s=4.0)
    assert message == (
        "running this model on the smallest inputs did not end within 4 s; if that is "
        "meant, raise VALIDATION_TIMEOUT_S"
    )


async def test_a_model_is_valid_if_only_larger_inputs_take_too_long(
    write_model: WriteModel,
) -> None:
    folder = write_model(squared(fixed=False))
    found = await inspector(timeout_s=4.0).inspect(folder)
    assert found.report["dry_run"] == {"ok": True, "error": None}
    assert found.report["batchable"] is None
    assert "made-up inputs did not end within 4 s" in found.report["batchable_reason"]
    assert children() == []


def squared(*, fixed: bool) -> bytes:
    """x float32 [N], or [1] -> y, the same and the sum of a product of large matrices.

    Their side is 2 * N^6, or 8192.
    """
    side = "side" if fixed else "size"
    return graphs.model_bytes(
        [
            helper.make_node("Shape", ["x"], ["length"]),
            helper.make_node("Pow", ["length", "six"], ["power"]),
            helper.make_node("Mul", ["power", "two"], ["size"]),
            helper.make_node("Concat", [side, side], ["sides"], axis=0),
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Expand", ["sum", "sides"], ["a"]),
            helper.make_node("MatMul", ["a", "a"], ["product"]),
            helper.make_node("ReduceSum", ["product"], ["total"], keepdims=0),
            helper.make_node("Add", ["x", "total"], ["y"]),
        ],
        [graphs.tensor("x", graphs.FLOAT, [1] if fixed else ["N"])],
        [graphs.tensor("y", graphs.FLOAT, [1] if fixed else ["N"])],
        initializers={
            "six": np.array([6], np.int64),
            "two": np.array([2], np.int64),
            "side": np.array([8192], np.int64),
        },
    )


async def test_a_model_that_runs_on_some_values_only_is_valid(
    write_model: WriteModel,
) -> None:
    found = await inspector().inspect(write_model(graphs.lookup(1)))
    report = found.report
    assert report["node_count"] == 1
    assert report["dry_run"]["ok"] or "out of data bounds" in report["dry_run"]["error"]
    assert report["latency_ms"] is None or report["latency_ms"] > 0


async def test_too_many_waiting_validations_are_refused(
    write_model: WriteModel,
) -> None:
    busy = inspector(concurrency=1, queue_limit=1)
    folder = write_model(SLOW_TO_LOAD)
    waiting = [asyncio.create_task(busy.inspect(folder)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 models are being validated") as caught:
        await busy.inspect(folder)
    assert caught.value.headers == {"Retry-After": "60"}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_only_so_many_children_run_at_once(write_model: WriteModel) -> None:
    one_at_a_time = inspector(concurrency=1, timeout_s=1.0)
    folder = write_model(SLOW_TO_LOAD)
    waiting = [asyncio.create_task(one_at_a_time.inspect(folder)) for _ in range(2)]
    most = 0
    while not all(task.done() for task in waiting):
        most = max(most, len(children()))
        await asyncio.sleep(0.01)
    assert most == 1
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [InvalidModel] * 2


async def test_a_cancelled_inspection_leaves_no_child(write_model: WriteModel) -> None:
    task = asyncio.create_task(inspector().inspect(write_model(SLOW_TO_LOAD)))
    (child,) = await until(children)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not child.is_running()


def test_the_child_dies_with_its_parent(write_model: WriteModel) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from app.engine.inspect import Inspector\n"
        "looking = Inspector(timeout_s=60, cpu_s=60, memory_mb=2048, concurrency=1)\n"
        "asyncio.run(looking.inspect(pathlib.Path(sys.argv[1])))\n"
    )
    arguments = [sys.executable, "-c", program, str(write_model(SLOW_TO_LOAD))]
    with subprocess.Popen(arguments) as parent:
        family = partial(children_of, psutil.Process(parent.pid))
        (child,) = asyncio.run(until(family))
        # Only once it holds its limits it has asked to die with its parent.
        asyncio.run(until(lambda: has_its_limits(child)))
        parent.kill()
    gone, _ = psutil.wait_procs([child], timeout=30)
    assert gone == [child]


async def test_the_child_sees_neither_the_environment_nor_the_folder(
    write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "do-not-tell")
    task = asyncio.create_task(inspector().inspect(write_model(SLOW_TO_LOAD)))
    (child,) = await until(children)
    assert "SECRET_KEY" not in child.environ()
    assert Path(child.cwd()) != Path.cwd()
    assert os.listdir(child.cwd()) == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_without_being_ready_none_is_kept(write_model: WriteModel) -> None:
    await inspector(spares=1).inspect(write_model(graphs.add_one()))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert children() == []


async def test_a_spare_waits_for_the_next_and_is_replaced(
    write_model: WriteModel,
) -> None:
    folder = write_model(graphs.add_one())
    looking = inspector(spares=1)
    async with looking.ready():
        (spare,) = await until(children)
        await looking.inspect(folder)
        assert not spare.is_running()
        (other,) = await until(children)
        # One that has died meanwhile is no fault of the model's.
        other.kill()
        await looking.inspect(folder)
    assert children() == []


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON",
        b"[" * 100_000,
        b"[]",
        b'{"done": NaN}',
        b'{"done": {}}',
        b'{"done": {"inputs": 3, "outputs": [], "report": {}, "metadata": {}}}',
        b'{"begun": true, "done": {"inputs": [{"name": "x"}]}}',
    ],
)
async def test_a_child_that_a_model_took_over_is_not_believed(
    write_model: WriteModel, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    folder = write_model(graphs.add_one())
    program = f"import sys; print({said.decode()!r}); sys.stdout.flush()"
    monkeypatch.setattr(children_module, "_PROGRAM", program)
    assert "gave no sensible answer" in await refusal(folder)


async def test_whatever_a_file_does_to_the_child_the_parent_goes_on(
    write_model: WriteModel,
) -> None:
    looking = inspector(timeout_s=10, cpu_s=5, memory_mb=1024)

    async def verdict(data: bytes) -> bool:
        try:
            await looking.inspect(write_model(data))
        except InvalidModel as error:
            return bool(error.detail)
        return True

    files = itertools.islice(mutants(3), 8)
    assert all(await asyncio.gather(*map(verdict, files)))
    assert children() == []
