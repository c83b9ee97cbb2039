"""The Open Inference Protocol's answer in JSON, with outputs as bytes behind it where
the request asked for that."""

from typing import Any, Final

import orjson

from app.codecs.base import Answer, Encoded
from app.codecs.json_values import OPTIONS, tensor_json
from app.codecs.oip_request import kept_of, outputs_of
from app.codecs.oip_tensors import to_raw

BINARY: Final = "application/octet-stream"
HEADER_LENGTH: Final = b"inference-header-content-length"


def encode_answer(answer: Answer) -> Encoded:
    kept, target = kept_of(answer.asked), answer.target
    blobs: list[bytes] = []
    outputs: list[dict[str, Any]] = []
    for output in outputs_of(answer):
        described: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.array.shape,
        }
        if kept.binary_by_name.get(output.name, kept.binary):
            blobs.append(to_raw(output.array))
            size = {"binary_data_size": len(blobs[-1])}
            described["parameters"] = {**output.parameters, **size}
        else:
            if output.parameters:
                described["parameters"] = output.parameters
            described["data"] = tensor_json(output.array.reshape(-1))
        outputs.append(described)
    body: dict[str, Any] = {
        "model_name": target.name,
        "model_version": target.version,
        "outputs": outputs,
    }
    if kept.id is not None:
        body["id"] = kept.id
    text = orjson.dumps(body, option=OPTIONS)
    if not blobs:
        return Encoded(text)
    length = str(len(text)).encode()
    return Encoded(b"".join([text, *blobs]), BINARY, ((HEADER_LENGTH, length),))
