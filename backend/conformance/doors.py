"""The server's doors: each takes a model's inputs and gives its outputs as values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import httpx
import numpy as np
from grpc import aio

from app.engine.signature import Signature
from app.engine.tensors import ELEMENT_TYPES, ElementType, element_of
from app.engine.values import Array
from app.rpc.generated import open_inference_pb2 as pb
from conformance.json_forms import from_json, from_nested, nested, to_json
from conformance.raw_forms import from_raw, to_raw

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_HEADER_LENGTH = "Inference-Header-Content-Length"
_BY_WORD = {element.oip or element.name.upper(): element for element in ELEMENT_TYPES}
_WORDS = {element.name: word for word, element in _BY_WORD.items()}

Values = Mapping[str, Any]


class Refused(Exception):
    """The server gave no answer to a request that it should take."""


@dataclass(frozen=True, slots=True)
class Published:
    """A model as the server describes it."""

    name: str
    signature: Signature


class Door(Protocol):
    """`takes_all`: sequences, maps and optionals too, not only tensors."""

    name: ClassVar[str]
    takes_all: ClassVar[bool]

    async def call(self, model: Published, inputs: Values) -> dict[str, Any]:
        """The outputs by name; raises Refused."""


@dataclass(frozen=True, slots=True)
class ApiJSON:
    name: ClassVar = "/api/v1 JSON"
    takes_all: ClassVar = True
    client: httpx.AsyncClient

    async def call(self, model: Published, inputs: Values) -> dict[str, Any]:
        data = {name: to_json(value) for name, value in inputs.items()}
        body = json.dumps({"input_data": data, "skip_cache": True}).encode()
        answer = await _post(
            self.client, f"/api/v1/models/{model.name}/predict", body, {}
        )
        said: dict[str, Any] = answer.json()
        shapes = said.get("output_shapes", {})
        return {
            name: from_json(item, model.signature.output(name).type, shapes.get(name))
            for name, item in said["output_data"].items()
        }


@dataclass(frozen=True, slots=True)
class OipJSON:
    name: ClassVar = "/v2 JSON"
    takes_all: ClassVar = False
    client: httpx.AsyncClient

    async def call(self, model: Published, inputs: Values) -> dict[str, Any]:
        tensors = [
            {**_described(name, array), "data": _listed(array)}
            for name, array in inputs.items()
        ]
        body = json.dumps({"inputs": tensors}).encode()
        answer = await _post(self.client, _infer_path(model), body, {})
        return {
            output["name"]: from_nested(
                output["data"], _BY_WORD[output["datatype"]]
            ).reshape(output["shape"])
            for output in answer.json()["outputs"]
        }


@dataclass(frozen=True, slots=True)
class OipBinary:
    name: ClassVar = "/v2 binary"
    takes_all: ClassVar = False
    client: httpx.AsyncClient

    async def call(self, model: Published, inputs: Values) -> dict[str, Any]:
        blobs = [to_raw(array) for array in inputs.values()]
        tensors = [
            {**_described(name, array), "parameters": {"binary_data_size": len(blob)}}
            for (name, array), blob in zip(inputs.items(), blobs, strict=True)
        ]
        asked = {"inputs": tensors, "parameters": {"binary_data_output": True}}
        head = json.dumps(asked).encode()
        answer = await _post(
            self.client,
            _infer_path(model),
            b"".join([head, *blobs]),
            {_HEADER_LENGTH: str(len(head))},
        )
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        at = int(answer.headers.get(_HEADER_LENGTH, len(answer.content)))
        found: dict[str, Any] = {}
        for output in json.loads(answer.content[:at])["outputs"]:
            end = at + output["parameters"]["binary_data_size"]
            element = _BY_WORD[output["datatype"]]
            data = answer.content[at:end]
            found[output["name"]] = from_raw(data, element, output["shape"])
            at = end
        return found


class OipGRPC:
    name: ClassVar = "gRPC"
    takes_all: ClassVar = False

    def __init__(self, channel: aio.Channel) -> None:
        self._infer = channel.unary_unary(
            _INFER,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )

    async def call(self, model: Published, inputs: Values) -> dict[str, Any]:
        request = pb.ModelInferRequest(model_name=model.name)
        for name, array in inputs.items():
            request.inputs.add(**_described(name, array))
            request.raw_input_contents.append(to_raw(array))
        try:
            answer = await self._infer(request, timeout=60)
        except aio.AioRpcError as error:
            raise Refused(f"{error.code().name}: {error.details()}") from None
        return {
            output.name: from_raw(raw, _BY_WORD[output.datatype], list(output.shape))
            for output, raw in zip(
                answer.outputs, answer.raw_output_contents, strict=True
            )
        }


def word_of(element: ElementType) -> str:
    """What the protocol calls it, or we do where it has no word."""
    return _WORDS[element.name]


async def _post(
    client: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str]
) -> httpx.Response:
    headers = {"Content-Type": "application/json", **headers}
    response = await client.post(path, content=body, headers=headers)
    if response.status_code != 200:
        raise Refused(f"{response.status_code}: {response.text[:300]}")
    return response


def _infer_path(model: Published) -> str:
    return f"/v2/models/{model.name}/infer"


def _described(name: str, array: Array) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": word_of(element_of(array)),
    }


def _listed(array: Array) -> list[Any]:
    """Nested where that says the shape, flat where it can't."""
    data = nested(array if array.size and array.ndim else array.reshape(-1))
    assert isinstance(data, list)
    return data


def is_tensors(values: Values) -> bool:
    return all(isinstance(value, np.ndarray) for value in values.values())
