"""The Open Inference Protocol's JSON body: an inference request, tensors in it as
nested or flat lists, or as bytes that follow it (`oip_binary`)."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import orjson

from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.json_document import Numbers, Path, loads
from app.codecs.json_tensors import MAX_RANK, Index, build_tensor
from app.codecs.oip_answer import encode_answer
from app.codecs.oip_request import (
    NO_PARAMETERS,
    OipInput,
    OipRequest,
    OipWanted,
    Parameter,
    check_datatype,
    find_input,
    to_asked,
)
from app.codecs.oip_tensors import Shape, check_shape, from_raw
from app.engine.tensors import ElementType
from app.engine.values import Array
from app.errors import InvalidInput, InvalidJSON, InvalidRequest

TENSORS: Final[Path] = ("inputs", None, "data")
SIZE: Final = "binary_data_size"
SHARED_MEMORY: Final = "shared_memory_region"


class Blobs(Protocol):
    """The bytes that follow the JSON, to be taken in order."""

    def take(self, size: int, place: str) -> memoryview: ...


class NoBlobs:
    def take(self, size: int, place: str) -> memoryview:
        if not size:
            return memoryview(
                b""
            )  # kserve leaves the header out where no bytes follow.
        raise InvalidRequest(
            f"{place}: {SIZE} is given, but the header Inference-Header-Content-Length "
            "is not: it says where the JSON ends and the bytes begin."
        )


class OipJSON:
    """A body that is JSON alone."""

    def decode(self, body: bytes, target: Target) -> Asked:
        return to_asked(read_request(body, target, NoBlobs()), target)

    def encode(self, answer: Answer) -> Encoded:
        return encode_answer(answer)


def read_request(body: bytes, target: Target, blobs: Blobs) -> OipRequest:
    data = parse_object(body, TENSORS)
    inputs = data.get("inputs")
    if inputs is None and not target.signature.inputs:
        inputs = []
    if not isinstance(inputs, list):
        raise InvalidRequest(f"inputs must be a list of tensors, got {_kind(inputs)}.")
    return OipRequest(
        tuple([_input(item, inputs, target, blobs, body) for item in inputs]),
        _outputs(data.get("outputs")),
        _id(data.get("id")),
        _parameters(data.get("parameters"), "parameters"),
    )


def parse_object(body: bytes, tensors: Path | None = None) -> dict[str, Any]:
    """A JSON object, in which NaN, Infinity and -Infinity may stand bare.

    Lists at `tensors` may come as `Numbers` if the body is large.
    """
    try:
        data = orjson.loads(body) if tensors is None else loads(body, tensors)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise InvalidJSON(f"The body is no valid JSON: {error}.") from None
        data = _parse_lenient(body)
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"The body must be a JSON object, got {_kind(data)}; for example "
            '{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", '
            '"data": [1.0, 2.0]}]}.'
        )
    return cast("dict[str, Any]", data)


def _parse_lenient(body: bytes) -> Any:
    """What Python's own parser takes, but for strings that are no Unicode text."""
    try:
        data = json.loads(body.decode())
        if b"\\u" in body:
            orjson.dumps(data)
    except (ValueError, RecursionError, orjson.JSONEncodeError) as error:
        reason = str(error) or "it is nested too deep"
        raise InvalidJSON(f"The body is no valid JSON: {reason}.") from None
    return data


def _input(
    item: object, inputs: list[object], target: Target, blobs: Blobs, body: bytes
) -> OipInput:
    if not isinstance(item, dict):
        place = f"inputs[{inputs.index(item)}]"
        raise InvalidRequest(f"{place} must be an object, got {_kind(item)}.")
    name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
    if not isinstance(name, str):
        place = f"inputs[{inputs.index(item)}]"
        raise InvalidRequest(f"{place}: name must be a string, got {_kind(name)}.")
    spec = find_input(name, target)
    place = f'input "{name}"'
    if not isinstance(datatype, str):
        raise InvalidRequest(f"{place}: datatype must be a string such as FP32.")
    element = check_datatype(datatype, spec)
    if not isinstance(shape, list):
        raise InvalidRequest(f"{place}: shape must be a list, got {_kind(shape)}.")
    dims = check_shape(shape, place)
    if "parameters" in item:
        parameters = _parameters(item["parameters"], f"{place}: parameters")
        if SHARED_MEMORY in parameters:
            raise InvalidRequest(
                f"{place}: shared memory is not supported; send the data."
            )
        if SIZE in parameters:
            blob = blobs.take(_size(item, parameters, place), place)
            return OipInput(name, datatype, from_raw(datatype, dims, blob, name))
    data = item.get("data")
    if not isinstance(data, list | Numbers):
        raise InvalidRequest(f"{place}: data must be a list, got {_kind(data)}.")
    if element.is_float and not _are_floats(data) and b"null" in body:
        data = _nulls_as_nan(data.as_list() if isinstance(data, Numbers) else data)
    return OipInput(name, datatype, _tensor(data, element, dims, place))


def _size(item: dict[str, Any], parameters: Mapping[str, Parameter], place: str) -> int:
    size = parameters[SIZE]
    if type(size) is not int or size < 0:
        raise InvalidRequest(
            f"{place}: {SIZE} must be a whole number, 0 or greater, got "
            f"{str(size)[:40]}."
        )
    if item.get("data") is not None:
        raise InvalidRequest(f"{place}: give data or {SIZE}, not both.")
    return size


def _tensor(
    data: list[Any] | Numbers, element: ElementType, shape: Shape, place: str
) -> Array:
    """Row-major, nested in any way that holds the elements the shape wants."""

    def where(index: Index) -> str:
        return f"{place}: data{''.join(f'[{i}]' for i in index)}"

    _check_depth(data, place)
    array = build_tensor(data, element, where)
    if array.shape == shape:
        return array
    wanted = math.prod(shape)
    if array.size != wanted:
        raise InvalidInput(
            f"{place}: data holds {array.size} elements, but the shape "
            f"{list(shape)} takes {wanted}."
        )
    return array.reshape(shape)


def _are_floats(data: list[Any] | Numbers) -> bool:
    """Cheaper to ask of a large body than whether it holds a null."""
    return isinstance(data, Numbers) and data.floats() is not None


def _check_depth(data: list[Any] | Numbers, place: str) -> None:
    item: object = data
    for _ in range(MAX_RANK + 1):
        if not isinstance(item, list) or not item:
            return
        item = item[0]
    raise InvalidInput(f"{place}: data are nested more than {MAX_RANK} deep.")


def _nulls_as_nan(data: list[Any], depth: int = 0) -> list[Any]:
    if depth > MAX_RANK:
        return data  # As ragged as that, it is refused anyway.
    return [
        "NaN"
        if item is None
        else _nulls_as_nan(item, depth + 1)
        if isinstance(item, list)
        else item
        for item in data
    ]


def _outputs(outputs: object) -> tuple[OipWanted, ...]:
    if outputs is None:
        return ()
    if not isinstance(outputs, list):
        raise InvalidRequest(f"outputs must be a list, got {_kind(outputs)}.")
    found: list[OipWanted] = []
    for at, item in enumerate(outputs):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidRequest(f"outputs[{at}] must be an object with a name.")
        place = f'output "{item["name"][:200]}": parameters'
        parameters = _parameters(item.get("parameters"), place)
        if SHARED_MEMORY in parameters:
            raise InvalidRequest(f"outputs[{at}]: shared memory is not supported.")
        found.append(OipWanted(item["name"], parameters))
    return tuple(found)


def _id(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest(f"id must be a string, got {_kind(value)}.")


def _parameters(value: object, place: str) -> Mapping[str, Parameter]:
    if value is None:
        return NO_PARAMETERS
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object, got {_kind(value)}.")
    for name, item in value.items():
        if not isinstance(item, str | int | float | bool):
            raise InvalidRequest(
                f"{place}: {name[:200]} must be a string, a number or a boolean, got "
                f"{_kind(item)}."
            )
    return cast("Mapping[str, Parameter]", value)


def _kind(value: object) -> str:
    names = {type(None): "nothing", bool: "a boolean", str: "a string"}
    names |= {int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")
