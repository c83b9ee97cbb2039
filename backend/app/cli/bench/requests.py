"""Requests of each protocol, written beforehand but for the part that varies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import orjson

from app.cli.bench.tensors import Inputs, Tensor
from app.cli.bench.variation import Variation
from app.engine.values import Array
from app.rpc.generated import open_inference_pb2 as pb

GRPC_PATH: Final = "/inference.GRPCInferenceService/ModelInfer"
_MARK: Final = "\u0000bench\u0000"
_MARK_JSON: Final = orjson.dumps(_MARK)


class Protocol(StrEnum):
    V1_JSON = "v1-json"
    V2_JSON = "v2-json"
    V2_BINARY = "v2-binary"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class Template:
    """One request around the part that varies; with no variation, all of it."""

    head: bytes
    tail: bytes
    variation: Variation | None
    binary: bool

    def write(self, count: int) -> bytes:
        if self.variation is None:
            return self.head
        vary = self.variation.raw if self.binary else self.variation.json
        return b"%b%b%b" % (self.head, vary(count), self.tail)


@dataclass(frozen=True, slots=True)
class Requests:
    """What one load sends, request by request; `cached` sends the first each time."""

    templates: tuple[Template, ...]
    cached: bool = False

    @property
    def distinct(self) -> int:
        variation = self.templates[0].variation
        return len(self.templates) * (1 if variation is None else variation.distinct)

    def write(self, number: int) -> bytes:
        turn, which = divmod(0 if self.cached else number, len(self.templates))
        return self.templates[which].write(turn)


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go: of a path's model, through a host's door."""

    authority: str
    base_path: str
    model: str
    headers: tuple[tuple[str, str], ...] = ()


def make_requests(
    protocol: Protocol, place: Place, made: Sequence[Inputs], *, cached: bool
) -> Requests:
    write = WRITERS[protocol]
    return Requests(tuple(write(place, inputs) for inputs in made), cached)


def _v1_json(place: Place, inputs: Inputs) -> Template:
    named = {tensor.name: _nested(tensor, inputs) for tensor in inputs.tensors}
    path = f"/api/v1/models/{place.model}/predict"
    return _json_post(place, path, {"input_data": named}, inputs.variation)


def _v2_json(place: Place, inputs: Inputs) -> Template:
    tensors = [
        {**_described(tensor), "data": _flat(tensor, inputs)}
        for tensor in inputs.tensors
    ]
    path = f"/v2/models/{place.model}/infer"
    return _json_post(place, path, {"inputs": tensors}, inputs.variation)


def _json_post(
    place: Place, path: str, document: object, variation: Variation | None
) -> Template:
    head, _, tail = orjson.dumps(document).partition(_MARK_JSON)
    slot = len(variation.json(0)) if variation else 0
    headers = {"Content-Type": "application/json"}
    post = _post(place, path, headers, len(head) + slot + len(tail))
    return Template(post + head, tail, variation, binary=False)


def _v2_binary(place: Place, inputs: Inputs) -> Template:
    raws = [raw(tensor.array) for tensor in _as_sent(inputs)]
    tensors = [
        {**_described(tensor), "parameters": {"binary_data_size": len(content)}}
        for tensor, content in zip(inputs.tensors, raws, strict=True)
    ]
    options = {"binary_data_output": True}
    json_head = orjson.dumps({"parameters": options, "inputs": tensors})
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(json_head)),
    }
    body = b"".join([json_head, *raws])
    post = _post(place, f"/v2/models/{place.model}/infer", headers, len(body))
    return _split(post + body, inputs.variation, raws[-1])


def _grpc(place: Place, inputs: Inputs) -> Template:
    """A length-prefixed message; the raw contents stand last in it."""
    request = pb.ModelInferRequest(model_name=place.model)
    for tensor in _as_sent(inputs):
        request.inputs.add(
            name=tensor.name, datatype=tensor.datatype, shape=tensor.array.shape
        )
        request.raw_input_contents.append(raw(tensor.array))
    message = request.SerializeToString(deterministic=True)
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    return _split(frame, inputs.variation, request.raw_input_contents[-1])


def _split(request: bytes, variation: Variation | None, last: bytes) -> Template:
    """`last` ends the request and begins with what varies."""
    if variation is None:
        return Template(request, b"", None, binary=True)
    at = len(request) - len(last)
    behind = at + len(variation.raw(0))
    return Template(request[:at], request[behind:], variation, binary=True)


def _post(place: Place, path: str, headers: Mapping[str, str], size: int) -> bytes:
    lines = [f"POST {place.base_path}{path} HTTP/1.1", f"Host: {place.authority}"]
    lines += [f"{name}: {value}" for name, value in (*headers.items(), *place.headers)]
    return "\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode()


def _as_sent(inputs: Inputs) -> list[Tensor]:
    """The varying tensor with elements as long as those that will stand there."""
    *others, last = inputs.tensors
    if inputs.variation is None or last.datatype != "BYTES":
        return [*others, last]
    first = inputs.variation.raw(0)[4:].decode()
    array = last.array.copy()
    array.flat[0] = first
    return [*others, Tensor(last.name, last.datatype, array)]


def raw(array: Array) -> bytes:
    """A tensor as the protocol's binary forms hold it."""
    if array.dtype != object:
        return array.tobytes()
    encoded = [str(text).encode() for text in array.ravel()]
    return b"".join(len(one).to_bytes(4, "little") + one for one in encoded)


def _described(tensor: Tensor) -> dict[str, object]:
    shape = list(tensor.array.shape)
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}


def _flat(tensor: Tensor, inputs: Inputs) -> list[Any]:
    values: list[Any] = _plain(tensor.array.ravel())
    if inputs.variation is not None and tensor is inputs.tensors[-1]:
        values[: inputs.variation.width] = [_MARK]
    return values


def _nested(tensor: Tensor, inputs: Inputs) -> Any:
    values = _plain(tensor.array)
    if inputs.variation is None or tensor is not inputs.tensors[-1]:
        return values
    if not tensor.array.ndim:
        return _MARK
    row = values
    for _ in range(tensor.array.ndim - 1):
        row = row[0]
    row[: inputs.variation.width] = [_MARK]
    return values


def _plain(array: Array) -> Any:
    """Lists whose numbers print as short as they were made."""
    if array.dtype.kind == "f":
        array = array.astype(np.float64).round(4)
    return array.tolist()


WRITERS: Final[dict[Protocol, Callable[[Place, Inputs], Template]]] = {
    Protocol.V1_JSON: _v1_json,
    Protocol.V2_JSON: _v2_json,
    Protocol.V2_BINARY: _v2_binary,
    Protocol.GRPC: _grpc,
}
