"""The calls besides inference: what there is, how it is, and load and unload."""

from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode
from onnx import TensorProto

from app import __version__
from app.rpc.generated import open_inference_pb2 as pb
from app.rpc.server import METHODS
from app.rpc.service import SERVICE
from tests import graphs
from tests.calls import upload
from tests.rpc.conftest import Served
from tests.rpc.stub import Stub, failed, infer_request, row

NOT_OURS = (
    *("TraceSetting", "LogSettings"),
    *("SystemSharedMemoryStatus", "SystemSharedMemoryRegister"),
    *("SystemSharedMemoryUnregister", "CudaSharedMemoryStatus"),
    *("CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"),
)


@pytest.fixture
async def line(served: Served) -> dict[str, Any]:
    return await upload(served.client, graphs.add_one(), name="line", version="1.0.0")


async def is_ready(stub: Stub, name: str, version: str = "") -> bool:
    request = pb.ModelReadyRequest(name=name, version=version)
    response: pb.ModelReadyResponse = await stub("ModelReady", request)
    return bool(response.ready)


async def states(stub: Stub, **fields: Any) -> dict[tuple[str, str], str]:
    index = await stub("RepositoryIndex", pb.RepositoryIndexRequest(**fields))
    return {(m.name, m.version): f"{m.state} {m.reason}".strip() for m in index.models}


async def test_the_server_is_live_and_ready_and_says_what_it_is(stub: Stub) -> None:
    assert (await stub("ServerLive", pb.ServerLiveRequest())).live
    assert (await stub("ServerReady", pb.ServerReadyRequest())).ready
    server = await stub("ServerMetadata", pb.ServerMetadataRequest())
    assert (server.name, server.version) == ("mlforge", __version__)
    assert {"model_repository", "statistics"} <= set(server.extensions)


async def test_it_is_live_but_not_ready_while_it_stops(
    served: Served, line: dict[str, Any]
) -> None:
    served.runtime.stop()
    stub = served.stub
    assert (await stub("ServerLive", pb.ServerLiveRequest())).live
    assert not (await stub("ServerReady", pb.ServerReadyRequest())).ready
    assert not await is_ready(stub, "line")
    call = stub("ModelInfer", infer_request("line", {"x": row(1)}))
    await failed(call, StatusCode.UNAVAILABLE, "shutting_down")


async def test_a_model_is_ready_by_name_version_and_alias(
    served: Served, line: dict[str, Any]
) -> None:
    await served.runtime.registry.set_alias("line", "best", "1.0.0")
    for version in ("", "1.0.0", "best"):
        assert await is_ready(served.stub, "line", version)
    assert not await is_ready(served.stub, "line", "9.9.9")


@pytest.mark.parametrize("name", ["nobody", "", "no such/name"])
async def test_an_unknown_model_is_not_ready_which_is_no_error(
    stub: Stub, name: str
) -> None:
    assert not await is_ready(stub, name)


async def test_metadata_tell_types_and_shapes(served: Served) -> None:
    await upload(served.client, graphs.classifier_zipmap(), name="zip", version="1.0.0")
    request = pb.ModelMetadataRequest(name="zip")
    model = await served.stub("ModelMetadata", request)
    assert (model.name, list(model.versions)) == ("zip", ["1.0.0"])
    assert model.platform == "onnxruntime_onnx"
    (given,) = model.inputs
    assert (given.name, given.datatype, list(given.shape)) == ("X", "FP32", [-1, 2])
    shapes = {t.name: (t.datatype, list(t.shape)) for t in model.outputs}
    assert shapes["probabilities"] == ("FP32", [-1, 2])
    assert "map" in model.properties["outputs.probabilities.type"]


async def test_the_configuration_is_one_that_clients_of_triton_read(
    served: Served,
) -> None:
    await upload(served.client, graphs.string_identity(), name="same")
    request = pb.ModelConfigRequest(name="same")
    config = (await served.stub("ModelConfig", request)).config
    assert (config.name, config.backend) == ("same", "onnxruntime")
    assert config.max_batch_size == 0
    assert config.version_policy.latest.num_versions == 1
    assert config.default_model_filename == "model.onnx"
    for tensor in (config.input[0], config.output[0]):
        assert tensor.data_type == pb.TYPE_STRING
        assert list(tensor.dims) == [-1]


async def test_types_without_a_word_in_configurations_are_said_to_be_invalid(
    served: Served,
) -> None:
    cast = graphs.cast(TensorProto.FLOAT, TensorProto.FLOAT8E4M3FN)
    await upload(served.client, cast, name="small")
    request = pb.ModelConfigRequest(name="small")
    config = (await served.stub("ModelConfig", request)).config
    assert config.input[0].data_type == pb.TYPE_FP32
    assert config.output[0].data_type == pb.TYPE_INVALID


async def test_statistics_count_rows_runs_and_hits(served: Served) -> None:
    await upload(served.client, graphs.affine(), name="line")
    for rows in (2, 2, 3):
        given = {"x": np.ones((rows, 3), np.float32)}
        await served.stub("ModelInfer", infer_request("line", given))
    request = pb.ModelStatisticsRequest(name="line")
    (model,) = (await served.stub("ModelStatistics", request)).model_stats
    assert (model.inference_count, model.execution_count) == (5, 2)
    counts = model.inference_stats
    assert (counts.success.count, counts.fail.count) == (3, 0)
    assert (counts.cache_hit.count, counts.cache_miss.count) == (1, 2)
    assert counts.compute_infer.count == 2
    assert counts.compute_infer.ns > 0
    assert [batch.batch_size for batch in model.batch_stats] == [2, 3]
    assert model.last_inference > 1_700_000_000_000
    everything = await served.stub("ModelStatistics", pb.ModelStatisticsRequest())
    assert [stats.name for stats in everything.model_stats] == ["line"]


@pytest.mark.parametrize("name", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
async def test_an_unknown_model_is_not_found(stub: Stub, name: str) -> None:
    request = getattr(pb, f"{name}Request")(name="nobody")
    await failed(stub(name, request), StatusCode.NOT_FOUND, "model_not_found")


async def test_a_model_is_unloaded_and_loaded_again(
    served: Served, line: dict[str, Any]
) -> None:
    stub = served.stub
    assert await states(stub) == {("line", "1.0.0"): "READY"}
    unload = pb.RepositoryModelUnloadRequest(model_name="line")
    unload.parameters["unload_dependents"].bool_param = False
    await stub("RepositoryModelUnload", unload)
    assert not await is_ready(stub, "line")
    assert await states(stub) == {("line", "1.0.0"): "UNAVAILABLE unloaded"}
    assert await states(stub, ready=True) == {}
    load = pb.RepositoryModelLoadRequest(model_name="line")
    await stub("RepositoryModelLoad", load)
    assert await is_ready(stub, "line")


async def test_one_version_is_unloaded_alone(
    served: Served, line: dict[str, Any]
) -> None:
    await upload(served.client, graphs.affine(), name="line", version="2.0.0")
    unload = pb.RepositoryModelUnloadRequest(model_name="line")
    unload.parameters["version"].string_param = "2.0.0"
    await served.stub("RepositoryModelUnload", unload)
    found = await states(served.stub, ready=True)
    assert found == {("line", "1.0.0"): "READY"}


async def test_a_model_comes_in_with_its_files(served: Served) -> None:
    load = pb.RepositoryModelLoadRequest(model_name="new")
    load.parameters["config"].string_param = "{}"
    load.parameters["file:3/model.onnx"].bytes_param = graphs.add_one()
    await served.stub("RepositoryModelLoad", load)
    response = await served.stub("ModelInfer", infer_request("new", {"x": row(1)}))
    assert response.model_version.startswith("3")


async def test_the_models_name_is_taken_from_the_first_field_too(
    served: Served, line: dict[str, Any]
) -> None:
    """As another dialect of the protocol numbers the fields."""
    unload = pb.RepositoryModelUnloadRequest(repository_name="line")
    await served.stub("RepositoryModelUnload", unload)
    assert not await is_ready(served.stub, "line")
    load = pb.RepositoryModelLoadRequest(repository_name="line")
    await served.stub("RepositoryModelLoad", load)
    assert await is_ready(served.stub, "line")


async def test_there_are_no_named_repositories(stub: Stub) -> None:
    for name, request in (
        ("RepositoryIndex", pb.RepositoryIndexRequest(repository_name="other")),
        (
            "RepositoryModelLoad",
            pb.RepositoryModelLoadRequest(repository_name="other", model_name="m"),
        ),
    ):
        call = stub(name, request)
        await failed(call, StatusCode.UNIMPLEMENTED, "method_not_allowed")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("wrong", "x", "wrong"),
        ("config", "no object", "config"),
        ("file:1", "", "file:1"),
    ],
)
async def test_a_load_with_a_bad_parameter_is_refused(
    stub: Stub, name: str, value: str, said: str
) -> None:
    load = pb.RepositoryModelLoadRequest(model_name="m")
    load.parameters[name].string_param = value
    call = stub("RepositoryModelLoad", load)
    detail = await failed(call, StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert said in detail


async def test_unloading_an_unknown_model_is_not_found(stub: Stub) -> None:
    unload = pb.RepositoryModelUnloadRequest(model_name="nobody")
    call = stub("RepositoryModelUnload", unload)
    await failed(call, StatusCode.NOT_FOUND, "model_not_found")


@pytest.mark.parametrize("name", NOT_OURS)
async def test_a_method_that_is_not_served_says_so(stub: Stub, name: str) -> None:
    for kind in (stub.channel.unary_unary, stub.channel.stream_unary):
        method = kind(f"/{SERVICE}/{name}")
        call = method(b"") if kind == stub.channel.unary_unary else method(iter([b""]))
        detail = await failed(call, StatusCode.UNIMPLEMENTED, "method_not_allowed")
        assert "ModelInfer" in detail


@pytest.mark.parametrize("name", METHODS)
async def test_bytes_that_are_no_message_are_refused(stub: Stub, name: str) -> None:
    if name == "ModelStreamInfer":
        call = stub.channel.stream_stream(f"/{SERVICE}/{name}")(iter([b"\xff\xff"]))
        answer = pb.ModelStreamInferResponse.FromString(await call.read())
        assert "ModelInferRequest" in answer.error_message
        return
    call = stub.channel.unary_unary(f"/{SERVICE}/{name}")(b"\xff\xff\xff")
    await failed(call, StatusCode.INVALID_ARGUMENT, "invalid_request")


async def test_what_nobody_foresaw_is_a_fixed_text_and_a_log_entry(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.runtime.oip = None  # type: ignore[assignment]  # a bug of ours, for a moment
    call = served.stub("ModelMetadata", pb.ModelMetadataRequest(name="m"))
    detail = await failed(call, StatusCode.INTERNAL, "internal")
    assert detail == "Something went wrong here; the log has it under this id."
    request_id = dict(await call.trailing_metadata())["x-request-id"]
    assert request_id in capsys.readouterr().out


async def test_rpcs_are_timed_by_method_and_code(served: Served) -> None:
    await served.stub("ServerLive", pb.ServerLiveRequest())
    await is_ready(served.stub, "nobody")
    with pytest.raises(grpc.aio.AioRpcError):
        await served.stub("ModelConfig", pb.ModelConfigRequest(name="nobody"))
    value = served.runtime.metrics.registry.get_sample_value
    name = "mlforge_rpc_duration_seconds_count"
    assert value(name, {"method": "ServerLive", "code": "OK"}) == 1
    assert value(name, {"method": "ModelReady", "code": "OK"}) == 1
    assert value(name, {"method": "ModelConfig", "code": "NOT_FOUND"}) == 1
    assert value("mlforge_inflight") == 0
