"""One ModelInferRequest and its ModelInferResponse, as the predictor's wire form."""

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import DecodeError

from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.oip_request import (
    OipInput,
    OipRequest,
    OipWanted,
    Parameter,
    check_datatype,
    find_input,
    kept_of,
    outputs_of,
    to_asked,
)
from app.codecs.oip_tensors import from_raw, to_raw
from app.engine.values import Array
from app.errors import InvalidRequest
from app.rpc.contents import from_contents
from app.rpc.generated import open_inference_pb2 as pb

MEDIA_TYPE: Final = "application/grpc+proto"
_SHARED_MEMORY: Final = "shared_memory_region"
# Tag of ModelInferResponse.raw_output_contents: field 6, its length ahead of it.
_RAW_OUTPUT: Final = b"\x32"
# Likewise ModelStreamInferResponse.infer_response: field 2.
_INFER_RESPONSE: Final = b"\x12"


class OipProto:
    """Made for one request, parsed beforehand because it names its model."""

    def __init__(self, request: pb.ModelInferRequest) -> None:
        self._request = request

    def decode(self, body: bytes, target: Target) -> Asked:
        """Reads the request it was made with; `body` is not looked at."""
        request = self._request
        arrays = _arrays(request, target)
        inputs = tuple(
            OipInput(tensor.name, tensor.datatype, array)
            for tensor, array in zip(request.inputs, arrays, strict=True)
        )
        outputs = tuple(
            OipWanted(output.name, _output_parameters(output))
            for output in request.outputs
        )
        parameters = parameters_of(request.parameters, "the request")
        asked = OipRequest(inputs, outputs, request.id or None, parameters)
        return to_asked(asked, target, binary=True)

    def encode(self, answer: Answer) -> Encoded:
        head = pb.ModelInferResponse(
            model_name=answer.target.name,
            model_version=answer.target.version,
            id=kept_of(answer.asked).id or "",
        )
        parts: list[bytes] = []
        for output in outputs_of(answer):
            tensor = head.outputs.add(
                name=output.name, datatype=output.datatype, shape=output.array.shape
            )
            for key, value in output.parameters.items():
                _set(tensor.parameters[key], value)
            raw = to_raw(output.array)
            parts += [_RAW_OUTPUT, varint(len(raw)), raw]
        # The order of fields in a message is free: large tensors are copied once.
        return Encoded(b"".join([head.SerializeToString(), *parts]), MEDIA_TYPE)


def parse_infer(body: bytes) -> pb.ModelInferRequest:
    try:
        request: pb.ModelInferRequest = pb.ModelInferRequest.FromString(body)
    except DecodeError:
        raise InvalidRequest("The message is no valid ModelInferRequest.") from None
    return request


def stream_response(infer_response: bytes) -> bytes:
    """The ModelStreamInferResponse that holds this ModelInferResponse."""
    return b"".join([_INFER_RESPONSE, varint(len(infer_response)), infer_response])


def parameters_of(
    parameters: Mapping[str, pb.InferParameter], place: str
) -> dict[str, Parameter]:
    """Raises InvalidRequest for one that has no value."""
    found: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f"{place}: the parameter {name[:200]} has no value.")
        found[name] = getattr(parameter, choice)
    return found


def _arrays(request: pb.ModelInferRequest, target: Target) -> list[Array]:
    for tensor in request.inputs:
        if _SHARED_MEMORY in tensor.parameters:
            raise _no_shared_memory(f'input "{tensor.name}"')
    raw = request.raw_input_contents
    if not raw:
        return [
            from_contents(
                tensor, check_datatype(tensor.datatype, find_input(tensor.name, target))
            )
            for tensor in request.inputs
        ]
    for tensor in request.inputs:
        if tensor.contents.ListFields():
            raise InvalidRequest(
                f'input "{tensor.name}": contents must not be given beside '
                "raw_input_contents; send all inputs the one way or the other."
            )
    if len(raw) != len(request.inputs):
        raise InvalidRequest(
            f"raw_input_contents holds {len(raw)} entries for "
            f"{len(request.inputs)} inputs; send one for each."
        )
    return [
        from_raw(tensor.datatype, tensor.shape, data, tensor.name)
        for tensor, data in zip(request.inputs, raw, strict=True)
    ]


def _output_parameters(
    output: pb.ModelInferRequest.InferRequestedOutputTensor,
) -> dict[str, Parameter]:
    place = f'output "{output.name[:200]}"'
    found = parameters_of(output.parameters, place)
    if _SHARED_MEMORY in found:
        raise _no_shared_memory(place)
    return found


def _no_shared_memory(place: str) -> InvalidRequest:
    return InvalidRequest(
        f"{place}: this server shares no memory with its callers; send and take the "
        "data in the messages."
    )


def _set(parameter: pb.InferParameter, value: Parameter) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


def varint(number: int) -> bytes:
    """As the wire format writes a length: seven bits to the byte, the low ones first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
