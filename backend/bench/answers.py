"""Answers of any server here, compared with bare ONNX Runtime's."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import orjson

from bench.payloads import Array, Inputs, Payload

NUMPY = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32}
HEAD_LENGTH = "inference-header-content-length"


class WrongAnswer(RuntimeError):
    """A server that answers wrongly has no figures."""


def session(path: Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


@cache
def _reference(path: Path) -> onnxruntime.InferenceSession:
    return session(path)


def expected(path: Path, inputs: Inputs) -> dict[str, Array]:
    reference = _reference(path)
    names = [output.name for output in reference.get_outputs()]
    return dict(zip(names, reference.run(names, dict(inputs)), strict=True))


def check(url: str, payload: Payload, path: Path) -> None:
    """Posts one body of each template; raises where an answer is not the model's."""
    with httpx.Client(base_url=url, timeout=30) as client:
        for at in range(len(payload.templates)):
            answer = client.post(
                payload.path, content=payload.body(at), headers=dict(payload.headers)
            )
            if answer.status_code != 200:
                raise WrongAnswer(f"status {answer.status_code}: {answer.text[:300]}")
            got = parse(answer.headers, answer.content)
            compare(got, expected(path, payload.inputs(at)))


def parse(headers: Mapping[str, str], body: bytes) -> dict[str, Array]:
    """By output; an answer that names none holds the last one, under ''."""
    if HEAD_LENGTH in headers:
        return _binary(body, int(headers[HEAD_LENGTH]))
    document = orjson.loads(body)
    if isinstance(document, dict):
        document = document.get("outputs", document.get("output_data", document))
    if isinstance(document, dict):
        return {name: np.array(value) for name, value in document.items()}
    if document and isinstance(document[0], dict):
        return {
            tensor["name"]: np.array(tensor["data"]).reshape(tensor["shape"])
            for tensor in document
        }
    return {"": np.array(document)}


def _binary(body: bytes, at: int) -> dict[str, Array]:
    found = {}
    for tensor in orjson.loads(body[:at])["outputs"]:
        dtype = np.dtype(NUMPY[tensor["datatype"]])
        size = tensor["parameters"]["binary_data_size"]
        found[tensor["name"]] = np.frombuffer(
            body, dtype, size // dtype.itemsize, at
        ).reshape(tensor["shape"])
        at += size
    return found


def compare(got: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    if "" in got:
        last = list(wanted)[-1]
        got, wanted = {last: got[""]}, {last: wanted[last]}
    for name, want in wanted.items():
        if name not in got:
            raise WrongAnswer(f"output {name!r} is missing; there are {list(got)}")
        _compare_one(name, got[name], want)


def _compare_one(name: str, got: Any, want: Any) -> None:
    if got.size != want.size:
        raise WrongAnswer(f"output {name!r} has shape {got.shape}, not {want.shape}")
    if not np.allclose(got.reshape(want.shape), want, rtol=1e-3, atol=1e-5):
        raise WrongAnswer(f"output {name!r} differs from ONNX Runtime's")
