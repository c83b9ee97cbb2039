"""The least a Python server can do for a prediction: the ceiling to stay near.

Raw ASGI, orjson and ONNX Runtime; no validation, limits, cache, metrics or logs. Serves
the one model of `PROTOTYPE_MODEL` over the Open Inference Protocol, JSON and binary:

    PROTOTYPE_MODEL=tabular.onnx uvicorn bench.prototype:app --loop uvloop
"""

import os
from typing import Any

import numpy as np
import onnxruntime
import orjson

TYPES = {"FP32": np.float32, "FP64": np.float64, "INT32": np.int32, "INT64": np.int64}
WORDS = {np.dtype(dtype): word for word, dtype in TYPES.items()}
JSON, BINARY = b"application/json", b"application/octet-stream"
HEAD_LENGTH = b"inference-header-content-length"


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        os.environ["PROTOTYPE_MODEL"], options, providers=["CPUExecutionProvider"]
    )


SESSION = _session()
OUTPUTS = [output.name for output in SESSION.get_outputs()]


def infer(body: bytes, head_length: int | None) -> tuple[bytes, int | None]:
    """An answer in the form of the question, and its head's length if binary."""
    document = orjson.loads(body if head_length is None else body[:head_length])
    outputs = SESSION.run(OUTPUTS, _feeds(document["inputs"], body, head_length))
    if head_length is None:
        tensors = [
            {**_described(name, array), "data": array.ravel()}
            for name, array in zip(OUTPUTS, outputs, strict=True)
        ]
        return orjson.dumps(
            {"model_name": "model", "outputs": tensors},
            option=orjson.OPT_SERIALIZE_NUMPY,
        ), None
    tensors = [
        {**_described(name, array), "parameters": {"binary_data_size": array.nbytes}}
        for name, array in zip(OUTPUTS, outputs, strict=True)
    ]
    head = orjson.dumps({"model_name": "model", "outputs": tensors})
    return b"".join([head, *(array.tobytes() for array in outputs)]), len(head)


def _feeds(inputs: Any, body: bytes, at: int | None) -> dict[str, Any]:
    feeds = {}
    for tensor in inputs:
        dtype = np.dtype(TYPES[tensor["datatype"]])
        if at is None:
            array = np.array(tensor["data"], dtype)
        else:
            size = tensor["parameters"]["binary_data_size"]
            array = np.frombuffer(body, dtype, size // dtype.itemsize, at)
            at += size
        feeds[tensor["name"]] = array.reshape(tensor["shape"])
    return feeds


def _described(name: str, array: Any) -> dict[str, Any]:
    return {"name": name, "datatype": WORDS[array.dtype], "shape": array.shape}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["method"] == "GET":
        await _answer(send, b"", JSON, None)
    else:
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message["body"])
            more = message.get("more_body", False)
        lengths = [
            int(value) for name, value in scope["headers"] if name == HEAD_LENGTH
        ]
        head_length = lengths[0] if lengths else None
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        answer, length = infer(body, head_length)
        await _answer(send, answer, JSON if length is None else BINARY, length)


async def _answer(send: Any, body: bytes, kind: bytes, length: int | None) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    if length is not None:
        headers.append((HEAD_LENGTH, b"%d" % length))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Any) -> None:
    for _ in range(2):
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
