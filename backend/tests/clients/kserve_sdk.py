"""kserve's two clients, as people call them; the REST one is told its protocol."""

import contextlib
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferOutput,
    InferRequest,
    InferResponse,
)
from kserve.inference_client import RESTConfig

LINE = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


@dataclass
class Api:
    client: Any
    kind: str
    base: str

    async def ask(self, name, *args):
        """REST's calls take the server's address first."""
        first = (self.base,) if self.kind == "rest" else ()
        return await getattr(self.client, name)(*first, *args)

    async def infer(self, request) -> InferResponse:
        if self.kind == "rest":
            return await self.client.infer(self.base, request, request.model_name)
        return await self.client.infer(request)


@contextlib.asynccontextmanager
async def open_client(kind, http, rpc, _model_file):
    if kind == "rest":
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
    else:
        client = InferenceGRPCClient(rpc)
    yield Api(client, kind, f"http://{http}")
    await client.close()


def given(name, array, datatype, *, binary):
    tensor = InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def output_of(response, name) -> InferOutput:
    return next(output for output in response.outputs if output.name == name)


async def echo(api, model, array, datatype, *, binary, request_id=None):
    tensor = given("x", array, datatype, binary=binary)
    request = InferRequest(model, [tensor], request_id=request_id)
    response = await api.infer(request)
    assert response.model_name == model
    return output_of(response, "y").as_numpy()


async def check_live_and_ready(api):
    assert await api.ask("is_server_live") is True
    assert await api.ask("is_server_ready") is True
    assert await api.ask("is_model_ready", "line") is True


async def check_an_unknown_model_is_not_ready(api):
    assert await api.ask("is_model_ready", "nobody") is False


async def check_infer_as_raw_bytes(api):
    found = await echo(api, "line", LINE, "FP32", binary=True)
    assert np.array_equal(found, 3 * LINE + 1)


async def check_infer_as_lists(api):
    found = await echo(api, "line", LINE, "FP32", binary=False)
    assert np.array_equal(found, 3 * LINE + 1)


async def check_a_plain_list(api):
    tensor = InferInput("x", [2, 3], "FP32", data=LINE.ravel().tolist())
    response = await api.infer(InferRequest("line", [tensor]))
    found = output_of(response, "y").as_numpy()
    assert np.array_equal(found, 3 * LINE + 1)


async def check_the_request_id_comes_back(api):
    tensor = given("x", LINE, "FP32", binary=True)
    response = await api.infer(InferRequest("line", [tensor], request_id="call-7"))
    assert response.id == "call-7"


async def check_types(api):
    for kind, datatype in (
        ("int8", "INT8"),
        ("int16", "INT16"),
        ("int32", "INT32"),
        ("int64", "INT64"),
        ("uint8", "UINT8"),
        ("uint64", "UINT64"),
        ("float64", "FP64"),
        ("bool", "BOOL"),
    ):
        array = np.array([0, 1, 1], kind)
        for binary in (True, False):
            found = await echo(api, kind, array, datatype, binary=binary)
            assert found.dtype == array.dtype, kind
            assert np.array_equal(found, array), kind


async def check_half_floats(api):
    array = np.array([0.5, -65504], np.float16)
    found = await echo(api, "float16", array, "FP16", binary=True)
    assert np.array_equal(found, array)


async def check_strings(api):
    array = np.array([b"", b"plain", "ü".encode()], object)
    found = await echo(api, "string", array, "BYTES", binary=True)
    # The REST client does not ask for bytes, so words come as JSON.
    as_bytes = [w.encode() if isinstance(w, str) else w for w in found.tolist()]
    assert as_bytes == array.tolist()


async def check_empty_tensors(api):
    found = await echo(api, "float32", np.empty(0, np.float32), "FP32", binary=True)
    assert found.shape == (0,)


async def check_nan_and_infinities(api):
    array = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    found = await echo(api, "float32", array, "FP32", binary=True)
    assert np.array_equal(found, array, equal_nan=True)


async def check_a_dict(api):
    if api.kind != "rest":
        return
    data = LINE.tolist()
    body = {
        "inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": data}]
    }
    response = await api.client.infer(api.base, body, "line")
    found = output_of(response, "y").as_numpy()
    assert np.array_equal(found, 3 * LINE + 1)


async def check_errors_are_told_in_words(api):
    tensor = given("x", LINE, "FP32", binary=True)
    said = ""
    try:
        await api.infer(InferRequest("nobody", [tensor]))
    except (httpx.HTTPStatusError, grpc.RpcError) as error:
        said = str(error)
    assert "nobody" in said, said
