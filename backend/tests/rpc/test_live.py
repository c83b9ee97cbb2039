"""`mlforge serve` answers over gRPC too, and ends with it in order."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from onnx import TensorProto

from app.rpc.generated import open_inference_pb2 as pb
from app.rpc.service import SERVICE
from tests import graphs
from tests.conftest import StartProcess, StartServer
from tests.live import LiveServer
from tests.processes import free_port
from tests.rpc.stub import infer_request, row, tensors

UNLIMITED = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


@pytest.fixture
def server(start_server: StartServer) -> LiveServer:
    return start_server(grpc_max_message_mb=96)


@pytest.fixture
def channel(server: LiveServer) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc_target, options=UNLIMITED) as channel:
        yield channel


def put(server: LiveServer, name: str, model: bytes) -> None:
    answer = httpx.post(
        f"{server.url}/api/v1/models/upload",
        files={"file": ("model.onnx", model)},
        data={"name": name},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text


def infer(channel: Any, request: pb.ModelInferRequest, **options: Any) -> Any:
    call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    answer = call(request.SerializeToString(), timeout=60, **options)
    return tensors(pb.ModelInferResponse.FromString(answer))


def test_the_port_is_announced_and_each_rpc_has_its_line(
    server: LiveServer, channel: Any
) -> None:
    put(server, "line", graphs.add_one())
    given = (("x-request-id", "mine-7"),)
    found = infer(channel, infer_request("line", {"x": row(1)}), metadata=given)
    assert found["y"].tolist() == [2]
    assert f"gRPC: {server.grpc_target}" in server.logs()
    server.wait_for_log('"rpc"')
    (line,) = (text for text in server.logs().splitlines() if '"event":"rpc"' in text)
    told = json.loads(line)
    assert (told["method"], told["code"]) == ("ModelInfer", "OK")
    assert told["request_id"] == "mine-7"
    assert told["cache"] == "MISS"
    assert told["took_ms"] > 0


def test_a_setting_lets_large_messages_pass(server: LiveServer, channel: Any) -> None:
    put(server, "same", graphs.identity(TensorProto.UINT8))
    array = np.arange(70 * 2**20, dtype=np.uint8)
    found = infer(channel, infer_request("same", {"x": array}))
    assert np.array_equal(found["y"], array)
    with pytest.raises(grpc.RpcError) as caught:
        infer(channel, infer_request("same", {"x": np.zeros(97 * 2**20, np.uint8)}))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_a_caller_gzips_is_read(server: LiveServer, channel: Any) -> None:
    put(server, "line", graphs.add_one())
    request = infer_request("line", {"x": np.zeros(10_000, np.float32)})
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        found = infer(channel, request, compression=compression)
        assert found["y"].tolist() == [1] * 10_000


def test_open_streams_and_watches_do_not_hold_up_the_end(
    server: LiveServer, channel: Any
) -> None:
    answers = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    statuses = health_pb2.HealthCheckResponse
    assert statuses.FromString(next(answers)).status == statuses.SERVING
    assert server.stop() == 0
    assert statuses.FromString(next(answers)).status == statuses.NOT_SERVING
    assert "Traceback" not in server.logs()


def test_a_port_that_is_taken_is_said_and_ends_the_start(
    server: LiveServer, start_process: StartProcess
) -> None:
    taken = server.grpc_target.rpartition(":")[2]
    second = start_process("serve", port=free_port(), grpc_port=taken, data_dir="other")
    assert second.child.process.wait(30) == 3
    told = second.logs()
    assert f"127.0.0.1:{taken}" in told
    assert "GRPC_PORT" in told
    assert "Traceback" not in told


def test_grpc_can_be_turned_off(start_server: StartServer) -> None:
    server = start_server(grpc_port=0)
    assert "gRPC" not in server.logs()
    assert server.stop() == 0
