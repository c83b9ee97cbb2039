"""ModelInfer, one request after the other."""

from typing import Any

import numpy as np
import pytest
from grpc import StatusCode, aio
from onnx import TensorProto

from app.rpc.generated import open_inference_pb2 as pb
from tests import graphs
from tests.calls import upload
from tests.rpc.conftest import Served
from tests.rpc.stub import described, failed, infer_request, row, tensors

Arrays = dict[str, np.ndarray[Any, Any]]
INVALID = StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def line(served: Served) -> dict[str, Any]:
    """x float32 [N] -> x + 1, under the name `line`."""
    return await upload(served.client, graphs.add_one(), name="line")


@pytest.fixture
async def pair(served: Served) -> dict[str, Any]:
    return await upload(served.client, graphs.two_inputs(), name="pair")


async def test_raw_contents_come_and_go(served: Served, line: dict[str, Any]) -> None:
    request = infer_request("line", {"x": row(1, 2, 3)}, id="call 1 ü")
    response = await served.stub("ModelInfer", request)
    assert tensors(response)["y"].tolist() == [2, 3, 4]
    assert (response.model_name, response.model_version) == ("line", line["version"])
    assert response.id == "call 1 ü"
    (output,) = response.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", "FP32", [3])


async def test_typed_contents_give_the_same_answer(
    served: Served, pair: dict[str, Any]
) -> None:
    a, b = np.ones((2, 2), np.float32), np.arange(4).reshape(2, 2)
    inputs: Arrays = {"a": a, "b": b}
    raw = infer_request("pair", inputs)
    typed = pb.ModelInferRequest(model_name="pair")
    for name, array in inputs.items():
        typed.inputs.append(described(name, array))
    typed.inputs[0].contents.fp32_contents.extend([1, 1, 1, 1])
    typed.inputs[1].contents.int64_contents.extend([0, 1, 2, 3])
    first = await served.stub("ModelInfer", raw)
    assert await served.stub("ModelInfer", typed) == first
    assert tensors(first)["product"].tolist() == [[0, 1], [4, 9]]


async def test_only_the_outputs_asked_for_come_in_their_order(
    served: Served, pair: dict[str, Any]
) -> None:
    a, b = np.ones((1, 2), np.float32), np.ones((1, 2), np.int64)
    inputs: Arrays = {"a": a, "b": b}
    request = infer_request("pair", inputs)
    for name in ("product", "total"):
        request.outputs.add(name=name)
    assert list(tensors(await served.stub("ModelInfer", request))) == [
        "product",
        "total",
    ]
    del request.outputs[1]
    assert list(tensors(await served.stub("ModelInfer", request))) == ["product"]


async def test_versions_and_aliases_choose_the_model(served: Served) -> None:
    for k, version in ((2.0, "1.0.0"), (3.0, "2.0.0")):
        await upload(served.client, graphs.affine(k), name="k", version=version)
    await served.runtime.registry.set_alias("k", "old", "1.0.0")
    inputs = {"x": np.ones((1, 3), np.float32)}
    for wanted, version, value in (
        ("", "2.0.0", 4),
        ("1.0.0", "1.0.0", 3),
        ("old", "1.0.0", 3),
    ):
        request = infer_request("k", inputs, model_version=wanted)
        response = await served.stub("ModelInfer", request)
        assert response.model_version == version
        assert tensors(response)["y"].tolist() == [[value] * 3]


async def test_a_zipmap_comes_as_a_tensor_with_its_labels(served: Served) -> None:
    await upload(served.client, graphs.classifier_zipmap(["no", "yes"]), name="zip")
    request = infer_request("zip", {"X": np.ones((3, 2), np.float32)})
    response = await served.stub("ModelInfer", request)
    found = {output.name: output for output in response.outputs}
    dense = found["probabilities"]
    assert (dense.datatype, list(dense.shape)) == ("FP32", [3, 2])
    assert dense.parameters["labels"].string_param == '["no","yes"]'
    assert np.allclose(tensors(response)["probabilities"].sum(axis=1), 1)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,) * 10])
async def test_any_shape_passes(served: Served, shape: tuple[int, ...]) -> None:
    dims = [None] * len(shape)
    await upload(served.client, graphs.identity(graphs.FLOAT, dims), name="same")
    array = np.full(shape, -0.0, np.float32)
    request = infer_request("same", {"x": array})
    found = tensors(await served.stub("ModelInfer", request))["y"]
    assert found.shape == shape
    assert found.tobytes() == array.tobytes()


async def test_strings_that_are_no_text_pass(served: Served) -> None:
    await upload(served.client, graphs.string_identity(), name="same")
    words = [b"", b"plain", "ü".encode(), b"\xff\x00\xfe"]
    request = pb.ModelInferRequest(model_name="same")
    tensor = request.inputs.add(name="x", datatype="BYTES", shape=[4])
    tensor.contents.bytes_contents.extend(words)
    response = await served.stub("ModelInfer", request)
    assert tensors(response)["y"].tolist() == words


async def test_a_repeated_request_is_answered_from_the_cache(
    served: Served, line: dict[str, Any]
) -> None:
    seen = []
    for at in range(2):
        call = served.stub(
            "ModelInfer", infer_request("line", {"x": row(1)}, id=f"{at}")
        )
        assert (await call).id == f"{at}"
        seen.append(dict(await call.trailing_metadata()))
    assert [trailer["x-cache"] for trailer in seen] == ["MISS", "HIT"]
    assert [trailer["x-request-id"] for trailer in seen] == ["0", "1"]


async def test_a_callers_request_id_comes_back(
    served: Served, line: dict[str, Any]
) -> None:
    request = infer_request("line", {"x": row(1)})
    given = (("x-request-id", "mine-7"),)
    call = served.stub("ModelInfer", request, metadata=given)
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-7"


def broken(name: str) -> pb.ModelInferRequest:
    """A request for `line` that has this fault."""
    request = infer_request("line", {"x": row(1, 2)})
    tensor = request.inputs[0]
    match name:
        case "both contents":
            tensor.contents.fp32_contents.extend([1, 2])
        case "no data":
            del request.raw_input_contents[:]
        case "two blobs":
            request.raw_input_contents.append(b"")
        case "short blob":
            request.raw_input_contents[0] = b"1234567"
        case "negative dim":
            tensor.shape[0] = -2
        case "huge shape":
            tensor.shape[:] = [2**40, 2**40]
        case "wrong datatype":
            tensor.datatype = "INT32"
        case "unknown datatype":
            tensor.datatype = "FP31"
        case "unknown input":
            tensor.name = "z"
        case "twice the same":
            request.inputs.append(tensor)
            request.raw_input_contents.append(request.raw_input_contents[0])
        case "no input":
            del request.inputs[:], request.raw_input_contents[:]
        case "wrong field":
            del request.raw_input_contents[:]
            tensor.contents.fp64_contents.extend([1, 2])
        case "unknown output":
            request.outputs.add(name="z")
        case "shared memory":
            tensor.parameters["shared_memory_region"].string_param = "r"
        case "shared memory out":
            output = request.outputs.add(name="y")
            output.parameters["shared_memory_region"].string_param = "r"
        case "negative timeout":
            request.parameters["timeout"].int64_param = -1
        case "empty parameter":
            request.parameters["timeout"].SetInParent()
        case "wrong rank":
            tensor.shape[:] = [1, 2]
    return request


FAULTS = (
    ("both contents", "invalid_request", "raw_input_contents"),
    ("no data", "invalid_input", "fp32_contents holds 0"),
    ("two blobs", "invalid_request", "2 entries for 1 inputs"),
    ("short blob", "invalid_input", "takes 8 bytes, got 7"),
    ("negative dim", "invalid_input", "-2"),
    ("huge shape", "invalid_input", "too large"),
    ("wrong datatype", "invalid_input", "FP32"),
    ("unknown datatype", "invalid_input", "FP31"),
    ("unknown input", "invalid_input", '"x"'),
    ("twice the same", "invalid_request", "twice"),
    ("no input", "invalid_input", "missing"),
    ("wrong field", "invalid_input", "fp32_contents, got fp64_contents"),
    ("unknown output", "invalid_request", '"z"'),
    ("shared memory", "invalid_request", "memory"),
    ("shared memory out", "invalid_request", "memory"),
    ("negative timeout", "invalid_request", "timeout"),
    ("empty parameter", "invalid_request", "no value"),
    ("wrong rank", "invalid_input", "float32 [N]"),
)


async def test_a_bad_request_is_refused_in_words(
    served: Served, line: dict[str, Any]
) -> None:
    for fault, error_code, said in FAULTS:
        call = served.stub("ModelInfer", broken(fault))
        assert said in await failed(call, INVALID, error_code), fault


@pytest.mark.parametrize(
    ("code", "datatype", "field", "number", "is_in"),
    [
        (TensorProto.INT8, "INT8", "int_contents", 128, False),
        (TensorProto.INT8, "INT8", "int_contents", -128, True),
        (TensorProto.INT16, "INT16", "int_contents", -32769, False),
        (TensorProto.UINT8, "UINT8", "uint_contents", 256, False),
        (TensorProto.UINT16, "UINT16", "uint_contents", 65535, True),
        (TensorProto.UINT16, "UINT16", "uint_contents", 65536, False),
    ],
)
async def test_small_integers_are_refused_out_of_range_and_never_wrapped(
    served: Served, code: int, datatype: str, field: str, number: int, is_in: bool
) -> None:
    await upload(served.client, graphs.identity(code), name="same")
    request = pb.ModelInferRequest(model_name="same")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[2])
    getattr(tensor.contents, field).extend([1, number])
    call = served.stub("ModelInfer", request)
    if is_in:
        assert tensors(await call)["y"].tolist() == [1, number]
    else:
        detail = await failed(call, INVALID, "invalid_input")
        assert f"{field}[1] is {number}" in detail


async def test_half_floats_have_no_typed_contents(served: Served) -> None:
    await upload(served.client, graphs.float16_double(), name="half")
    request = pb.ModelInferRequest(model_name="half")
    tensor = request.inputs.add(name="x", datatype="FP16", shape=[1])
    tensor.contents.fp32_contents.append(1)
    call = served.stub("ModelInfer", request)
    assert "raw_input_contents" in await failed(call, INVALID, "invalid_input")


async def test_an_unknown_model_is_not_found(served: Served) -> None:
    request = infer_request("nobody", {})
    await failed(
        served.stub("ModelInfer", request), StatusCode.NOT_FOUND, "model_not_found"
    )


async def test_an_unloaded_model_is_unavailable(
    served: Served, line: dict[str, Any]
) -> None:
    await served.runtime.repository.unload("line")
    request = infer_request("line", {"x": row(1)})
    await failed(
        served.stub("ModelInfer", request), StatusCode.UNAVAILABLE, "model_not_ready"
    )


async def test_bytes_that_are_no_message_are_refused(served: Served) -> None:
    send = served.stub.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    await failed(send(b"\xff\xff\xff"), INVALID, "invalid_request")


async def test_a_message_over_the_limit_is_refused_and_one_at_it_is_taken(
    served: Served, line: dict[str, Any]
) -> None:
    request = infer_request("line", {"x": np.zeros(250_000, np.float32)})
    assert len(tensors(await served.stub("ModelInfer", request))["y"]) == 250_000
    request = infer_request("line", {"x": np.zeros(2**18, np.float32)})
    with pytest.raises(aio.AioRpcError) as caught:
        await served.stub("ModelInfer", request)
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in (caught.value.details() or "")


async def test_an_answer_over_the_limit_is_refused_in_words(served: Served) -> None:
    cast = graphs.cast(TensorProto.FLOAT, TensorProto.DOUBLE)
    await upload(served.client, cast, name="double")
    request = infer_request("double", {"x": np.zeros(200_000, np.float32)})
    call = served.stub("ModelInfer", request)
    detail = await failed(call, StatusCode.RESOURCE_EXHAUSTED, "payload_too_large")
    assert "GRPC_MAX_MESSAGE_MB" in detail
