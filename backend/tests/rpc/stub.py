"""A client made of the protocol's own description, and words for what tests send."""

from collections.abc import Mapping
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
from google.protobuf.message_factory import GetMessageClass

from app.codecs.oip_tensors import to_raw
from app.engine.tensors import element_of
from app.rpc.generated import open_inference_pb2 as pb
from app.rpc.service import SERVICE

DESCRIPTION = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]


class Stub:
    """`await stub("ModelInfer", request, timeout=1)`, on a channel of grpc.aio."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def __call__(self, name: str, request: Any, **options: Any) -> Any:
        return self._callable(name, self.channel.unary_unary)(request, **options)

    def stream(self, requests: Any = None, **options: Any) -> Any:
        streamed = self._callable("ModelStreamInfer", self.channel.stream_stream)
        return streamed(requests, **options)

    def _callable(self, name: str, kind: Any) -> Any:
        method = DESCRIPTION.methods_by_name[name]
        return kind(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )


def infer_request(
    name: str, inputs: Mapping[str, np.ndarray[Any, Any]], **fields: Any
) -> pb.ModelInferRequest:
    """Its inputs as raw contents."""
    request = pb.ModelInferRequest(model_name=name, **fields)
    for input_name, array in inputs.items():
        request.inputs.append(described(input_name, array))
        request.raw_input_contents.append(to_raw(array))
    return request


def described(
    name: str, array: np.ndarray[Any, Any]
) -> pb.ModelInferRequest.InferInputTensor:
    element = element_of(array)
    return pb.ModelInferRequest.InferInputTensor(
        name=name, datatype=element.oip or element.name.upper(), shape=array.shape
    )


def tensors(response: pb.ModelInferResponse) -> dict[str, np.ndarray[Any, Any]]:
    """What a response holds, read the way the protocol says."""
    found = {}
    assert len(response.outputs) == len(response.raw_output_contents)
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        assert not output.HasField("contents")
        if output.datatype == "BYTES":
            flat = np.array(list(_split(raw)), dtype=object)
        else:
            flat = np.frombuffer(raw, dtype=DTYPES[output.datatype])
        found[output.name] = flat.reshape(tuple(output.shape))
    return found


DTYPES = {
    **{word: np.dtype(word.lower()) for word in ("INT8", "INT16", "INT32", "INT64")},
    **{word: np.dtype(word.lower()) for word in ("UINT8", "UINT16", "UINT32")},
    "UINT64": np.dtype(np.uint64),
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


def _split(raw: bytes) -> Any:
    while raw:
        size = int.from_bytes(raw[:4], "little")
        yield raw[4 : 4 + size]
        raw = raw[4 + size :]


def row(*numbers: float) -> np.ndarray[Any, Any]:
    return np.array(numbers, dtype=np.float32)


async def failed(call: Any, code: grpc.StatusCode, error_code: str) -> str:
    """The detail of a call that must fail like this."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    trailer = dict(error.trailing_metadata())
    assert error.code() is code, error
    assert trailer["x-error-code"] == error_code, error
    assert trailer["x-request-id"]
    return str(error.details())
