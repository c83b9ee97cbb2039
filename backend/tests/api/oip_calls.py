"""Calls of the Open Inference Protocol that many tests make."""

from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import orjson

from app.engine.values import Array

HEADER = "inference-header-content-length"


def fp32(name: str, rows: list[list[float]]) -> dict[str, Any]:
    shape = [len(rows), len(rows[0])]
    return {"name": name, "datatype": "FP32", "shape": shape, "data": rows}


LINE = {"inputs": [fp32("x", [[1, 2, 3]])]}


async def infer(
    client: httpx.AsyncClient,
    model: str,
    body: Mapping[str, Any] | bytes,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """As tritonclient does it: no content type."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    path = f"/v2/models/{model}/infer"
    return await client.post(path, content=content, headers=dict(headers or {}))


async def inferred(
    client: httpx.AsyncClient, model: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    """The outputs, by name, of an inference that must succeed in JSON."""
    answer = await infer(client, model, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert HEADER not in answer.headers
    return {output["name"]: output for output in answer.json()["outputs"]}


async def infer_binary(
    client: httpx.AsyncClient,
    model: str,
    body: Mapping[str, Any],
    *blobs: bytes,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    head = orjson.dumps(body)
    length = {HEADER: str(len(head)), **(headers or {})}
    return await infer(client, model, head + b"".join(blobs), length)


def split(answer: httpx.Response) -> tuple[dict[str, Any], dict[str, Array]]:
    """The JSON of a binary answer, and the tensors behind it, as numpy reads them."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    at = int(answer.headers[HEADER])
    head: dict[str, Any] = orjson.loads(answer.content[:at])
    dtypes = {"FP32": "<f4", "INT64": "<i8", "BOOL": "?", "FP16": "<f2"}
    tensors: dict[str, Array] = {}
    for output in head["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            continue
        raw = answer.content[at : at + size]
        at += size
        dtype = dtypes.get(output["datatype"], "u1")
        array = np.frombuffer(raw, dtype)
        tensors[output["name"]] = (
            array.reshape(output["shape"]) if dtype != "u1" else array
        )
    assert at == len(answer.content)
    return head, tensors


def error_of(answer: httpx.Response, status: int, code: str) -> str:
    """The text of an answer that must be this error in the protocol's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error", "code", "request_id"}, body
    assert body["code"] == code, body
    assert body["request_id"] == answer.headers["x-request-id"]
    text: str = body["error"]
    return text
