"""Streams, deadlines, cancellations and the end of the server."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2
from onnx import TensorProto

from app.config import Settings
from app.rpc.service import SERVICE
from app.runtime import Runtime
from tests import graphs
from tests.calls import upload
from tests.conftest import MakeSettings
from tests.processes import free_port
from tests.rpc.conftest import Served
from tests.rpc.stub import failed, infer_request, row, tensors

FOR_EVER = 10**15
A_MOMENT = 300_000  # About a third of a second.
ANSWERS = health_pb2.HealthCheckResponse


@pytest.fixture
def rpc_settings(make_settings: MakeSettings, sqlite_dsn: str) -> Settings:
    """One thread for runs: what holds it is seen by all others."""
    return make_settings(
        database_url=sqlite_dsn,
        grpc_port=free_port(),
        grpc_max_message_mb=1,
        inference_threads=1,
    )


@pytest.fixture
async def counter(served: Served) -> None:
    """x float32 [1] + n, in a time that grows with n; loaded already."""
    await upload(served.client, graphs.counted_loop(), name="counter")
    await count(served, 1)


def count(served: Served, n: int, *, x: float = 0, **options: Any) -> Any:
    inputs = {"x": row(x), "n": np.array(n, np.int64)}
    return served.stub("ModelInfer", infer_request("counter", inputs), **options)


async def until_under_way(runtime: Runtime, predictions: int) -> None:
    value = runtime.metrics.registry.get_sample_value
    async with asyncio.timeout(20):
        while value("mlforge_inflight") != predictions:  # noqa: ASYNC110 - a gauge sets no event
            await asyncio.sleep(0.01)


async def ended(call: Any) -> StatusCode:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_a_cancelled_call_frees_its_thread(served: Served, counter: None) -> None:
    call = count(served, FOR_EVER)
    await until_under_way(served.runtime, 1)
    call.cancel()
    assert tensors(await count(served, 2, timeout=20))["y"].tolist() == [2]


async def test_a_call_past_its_deadline_frees_its_thread(
    served: Served, counter: None
) -> None:
    call = count(served, FOR_EVER, timeout=0.3)
    assert await ended(call) is StatusCode.DEADLINE_EXCEEDED
    assert tensors(await count(served, 2, timeout=20))["y"].tolist() == [2]


async def test_a_call_past_its_deadline_in_the_queue_never_runs(
    served: Served, counter: None
) -> None:
    first = count(served, FOR_EVER)
    await until_under_way(served.runtime, 1)
    waiting = [count(served, FOR_EVER, x=at, timeout=0.3) for at in range(1, 4)]
    for call in waiting:
        assert await ended(call) is StatusCode.DEADLINE_EXCEEDED
    first.cancel()
    assert tensors(await count(served, 2, timeout=20))["y"].tolist() == [2]


async def test_a_short_deadline_does_not_end_a_run_that_others_wait_for(
    served: Served, counter: None
) -> None:
    impatient = count(served, 2 * A_MOMENT, timeout=0.2)
    await until_under_way(served.runtime, 1)
    patient = count(served, 2 * A_MOMENT, timeout=60)
    assert await ended(impatient) is StatusCode.DEADLINE_EXCEEDED
    assert tensors(await patient)["y"].tolist() == [2 * A_MOMENT]


async def test_the_timeout_parameter_is_in_microseconds(
    served: Served, counter: None
) -> None:
    inputs = {"x": row(0), "n": np.array(FOR_EVER, np.int64)}
    request = infer_request("counter", inputs)
    request.parameters["timeout"].int64_param = 200_000
    call = served.stub("ModelInfer", request)
    await failed(call, StatusCode.DEADLINE_EXCEEDED, "inference_timeout")


async def test_a_stream_answers_each_message_and_outlives_a_bad_one(
    served: Served, counter: None
) -> None:
    stream = served.stub.stream()
    inputs = {"x": row(0), "n": np.array(3, np.int64)}
    good = infer_request("counter", inputs, id="good")
    bad = infer_request("nobody", inputs, id="bad")
    answers = []
    for request in (good, bad, good):
        await stream.write(request)
        answers.append(await stream.read())
    await stream.done_writing()
    assert await stream.read() is aio.EOF
    assert await stream.code() is StatusCode.OK
    first, second, third = answers
    assert first == third
    assert first.error_message == ""
    assert first.infer_response.id == "good"
    assert tensors(first.infer_response)["y"].tolist() == [3]
    assert "nobody" in second.error_message
    assert second.infer_response.id == "bad"
    assert not second.infer_response.outputs


async def test_many_messages_sent_at_once_are_answered_in_their_order(
    served: Served, counter: None
) -> None:
    async def requests() -> Any:
        for at in range(20):
            inputs = {"x": row(at), "n": np.array(1, np.int64)}
            yield infer_request("counter", inputs, id=str(at))

    stream = served.stub.stream(requests())
    found = [answer.infer_response.id async for answer in stream]
    assert found == [str(at) for at in range(20)]


async def test_a_cancelled_stream_frees_its_thread(
    served: Served, counter: None
) -> None:
    stream = served.stub.stream()
    inputs = {"x": row(0), "n": np.array(FOR_EVER, np.int64)}
    await stream.write(infer_request("counter", inputs))
    await until_under_way(served.runtime, 1)
    stream.cancel()
    assert tensors(await count(served, 2, timeout=20))["y"].tolist() == [2]


async def test_a_stop_lets_end_what_runs_and_ends_what_waits(
    served: Served, counter: None
) -> None:
    idle = served.stub.stream()
    inputs = {"x": row(0), "n": np.array(1, np.int64)}
    await idle.write(infer_request("counter", inputs))
    assert (await idle.read()).error_message == ""
    running = count(served, A_MOMENT)
    await until_under_way(served.runtime, 2)
    served.runtime.stop()
    async with asyncio.timeout(20):
        await served.server.stop(60)
    assert tensors(await running)["y"].tolist() == [A_MOMENT]
    assert await idle.code() is StatusCode.UNAVAILABLE
    assert "shutting down" in await idle.details()


async def test_a_stop_cuts_off_what_runs_longer_than_the_grace(
    served: Served, counter: None
) -> None:
    running = count(served, FOR_EVER)
    await until_under_way(served.runtime, 1)
    await served.server.stop(0.1)
    assert await ended(running) in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}


def health(served: Served, name: str, service: str) -> Any:
    channel = served.stub.channel
    kind = channel.unary_unary if name == "Check" else channel.unary_stream
    return kind(
        f"/grpc.health.v1.Health/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=ANSWERS.FromString,
    )(health_pb2.HealthCheckRequest(service=service))


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_is_serving_until_the_server_stops(
    served: Served, service: str
) -> None:
    assert (await health(served, "Check", service)).status == ANSWERS.SERVING
    served.runtime.stop()
    assert (await health(served, "Check", service)).status == ANSWERS.NOT_SERVING


async def test_health_of_an_unknown_service_is_not_found(served: Served) -> None:
    call = health(served, "Check", "nobody")
    await failed(call, StatusCode.NOT_FOUND, "not_found")
    watch = health(served, "Watch", "nobody")
    assert (await watch.read()).status == ANSWERS.SERVICE_UNKNOWN
    watch.cancel()


async def test_a_watch_sees_the_server_stop(served: Served) -> None:
    watch = health(served, "Watch", "")
    assert (await watch.read()).status == ANSWERS.SERVING
    served.runtime.stop()
    async with asyncio.timeout(20):
        await served.server.stop(60)
    assert (await watch.read()).status == ANSWERS.NOT_SERVING
    assert await watch.read() is aio.EOF
    assert await watch.code() is grpc.StatusCode.OK


async def test_an_answer_too_large_for_a_message_ends_no_stream(
    served: Served, counter: None
) -> None:
    cast = graphs.cast(graphs.FLOAT, TensorProto.DOUBLE)
    await upload(served.client, cast, name="double")
    limit = served.runtime.settings.grpc_max_message_mb * 2**20
    stream = served.stub.stream()
    for size in (limit // 6, 1):
        array = np.zeros(size, np.float32)
        await stream.write(infer_request("double", {"x": array}))
    assert "GRPC_MAX_MESSAGE_MB" in (await stream.read()).error_message
    assert tensors((await stream.read()).infer_response)["y"].tolist() == [0]
    stream.cancel()
