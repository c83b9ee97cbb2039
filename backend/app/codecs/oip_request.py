"""An inference request and its answer in the Open Inference Protocol's terms, whatever
the wire: JSON, JSON with binary tensors, or gRPC."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from app.codecs.base import Answer, Asked, Target
from app.codecs.dense import Labels, densify, labels_text
from app.codecs.oip_tensors import datatype_of, datatype_of_array
from app.engine.signature import ValueSpec, describe
from app.engine.tensors import ElementType, element_of
from app.engine.value_types import OptionalType, TensorType, ValueType
from app.engine.values import Array, Value
from app.errors import InvalidInput, InvalidRequest

Parameter = str | int | float | bool

NO_PARAMETERS: Final[Mapping[str, Parameter]] = MappingProxyType({})

MAX_ID: Final = 4096
_HEADER_ID: Final = 128
_MOST_CLASSES: Final = 2**31 - 1


class OipInput(NamedTuple):
    """`array` has the dtype and the shape that the request declared."""

    name: str
    datatype: str
    array: Array


class OipWanted(NamedTuple):
    """An output asked for by name."""

    name: str
    parameters: Mapping[str, Parameter] = NO_PARAMETERS


class OipRequest(NamedTuple):
    """No `outputs`: all of them."""

    inputs: tuple[OipInput, ...]
    outputs: tuple[OipWanted, ...] = ()
    id: str | None = None
    parameters: Mapping[str, Parameter] = NO_PARAMETERS


class OipKept(NamedTuple):
    """What `Asked.kept` holds of a request."""

    id: str | None
    classes: Mapping[str, int]
    # REST's: whether an output goes as bytes, by name; `binary` for the rest.
    binary_by_name: Mapping[str, bool]
    binary: bool


class OipOutput(NamedTuple):
    name: str
    datatype: str
    array: Array
    parameters: Mapping[str, Parameter]


def to_asked(request: OipRequest, target: Target, *, binary: bool = False) -> Asked:
    """Raises InvalidInput or InvalidRequest. The fit of the shapes is checked later,
    for all wire forms. `binary`: all outputs go as bytes unless the request says."""
    inputs: dict[str, Value] = {}
    for tensor in request.inputs:
        if tensor.name in inputs:
            raise InvalidRequest(f'input "{tensor.name}" is given twice.')
        inputs[tensor.name] = _checked(tensor, target)
    wanted, parameters = request.outputs, request.parameters
    if parameters:
        binary = _flag(parameters, "binary_data_output", "the request", binary)
    return Asked(
        inputs,
        outputs=_names(wanted, target) if wanted else None,
        request_id=_header_id(request.id) if request.id else None,
        timeout_s=_timeout_s(parameters) if parameters else None,
        kept=OipKept(
            request.id,
            classes=_classes(wanted) if wanted else {},
            binary_by_name=_flags(wanted) if wanted else {},
            binary=binary,
        ),
    )


def kept_of(asked: Asked) -> OipKept:
    assert isinstance(asked.kept, OipKept)
    return asked.kept


def outputs_of(answer: Answer) -> list[OipOutput]:
    """The outputs as tensors, in order; raises InvalidRequest if one can't be."""
    classes = kept_of(answer.asked).classes
    specs = answer.target.signature.outputs_by_name
    found: list[OipOutput] = []
    for name, value in answer.outputs.items():
        array, labels = densify(value, specs[name], answer.target.labels.get(name))
        if name in classes:
            top = _top(array, labels, classes[name], name)
            found.append(OipOutput(name, "BYTES", top, NO_PARAMETERS))
            continue
        datatype = datatype_of_array(array)
        parameters = (
            NO_PARAMETERS if labels is None else {"labels": labels_text(labels)}
        )
        found.append(OipOutput(name, datatype, array, parameters))
    return found


def wanted_element(spec: ValueSpec) -> ElementType:
    """What elements an input takes; raises InvalidInput if it takes no tensor."""
    type_: ValueType = spec.type
    if isinstance(type_, OptionalType):
        type_ = type_.of
    if isinstance(type_, TensorType):
        return type_.element
    raise InvalidInput(
        f'input "{spec.name}": the model wants {describe(spec)}, which is no tensor '
        "and so can't come over this protocol; use /api/v1."
    )


def find_input(name: str, target: Target) -> ValueSpec:
    spec = target.signature.inputs_by_name.get(name)
    if spec is None:
        names = ", ".join(f'"{known}"' for known in target.signature.inputs_by_name)
        raise InvalidInput(
            f'the model has no input "{name[:200]}"; its inputs are {names}.'
            if names
            else f'the model has no input "{name[:200]}"; it takes none.'
        )
    return spec


def check_datatype(datatype: str, spec: ValueSpec) -> ElementType:
    """The element type, when `datatype` is the one the input takes."""
    element = wanted_element(spec)
    wanted = datatype_of(element)
    if datatype != wanted:
        raise InvalidInput(
            f'input "{spec.name}": expected the datatype {wanted}, got '
            f'"{datatype[:40]}".'
        )
    return element


def _checked(tensor: OipInput, target: Target) -> Array:
    check_datatype(tensor.datatype, find_input(tensor.name, target))
    return tensor.array


def _names(outputs: tuple[OipWanted, ...], target: Target) -> tuple[str, ...]:
    names = tuple(output.name for output in outputs)
    known = target.signature.outputs_by_name
    for name in names:
        if name not in known:
            raise InvalidRequest(
                f'the model has no output "{name[:200]}"; it has {", ".join(known)}.'
            )
    if len(set(names)) != len(names):
        raise InvalidRequest("outputs names an output twice.")
    return names


def _header_id(request_id: str) -> str | None:
    """The id where the header X-Request-ID can say it too."""
    if len(request_id) > MAX_ID:
        raise InvalidRequest(
            f"id has {len(request_id)} characters, {MAX_ID} are the most."
        )
    if len(request_id) > _HEADER_ID:
        return None
    is_plain = request_id.isascii() and request_id.isprintable()
    return request_id if is_plain and " " not in request_id else None


def _timeout_s(parameters: Mapping[str, Parameter]) -> float | None:
    """From microseconds; 0 is no limit, and no order is promised by a priority."""
    _whole(parameters, "priority", 2**64 - 1)
    timeout_us = _whole(parameters, "timeout", 2**63 - 1)
    return timeout_us / 1e6 if timeout_us else None


def _whole(parameters: Mapping[str, Parameter], name: str, most: int) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidRequest(
            f"the parameter {name} must be a whole number, 0 or greater, got "
            f"{str(value)[:40]}."
        )
    return value


def _flags(outputs: tuple[OipWanted, ...]) -> dict[str, bool]:
    return {
        output.name: _flag(output.parameters, "binary_data", f'output "{output.name}"')
        for output in outputs
        if "binary_data" in output.parameters
    }


def _flag(
    parameters: Mapping[str, Parameter], name: str, place: str, default: bool = False
) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(
            f"{place}: the parameter {name} must be true or false, got "
            f"{str(value)[:40]}."
        )
    return value


def _classes(outputs: tuple[OipWanted, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for output in outputs:
        top = output.parameters.get("classification")
        if top is None:
            continue
        if type(top) is not int or not 1 <= top <= _MOST_CLASSES:
            raise InvalidRequest(
                f'output "{output.name}": the parameter classification must be a '
                f"whole number, 1 or greater, got {str(top)[:40]}."
            )
        found[output.name] = top
    return found


def _top(array: Array, labels: Labels | None, most: int, name: str) -> Array:
    """`value:index[:label]` of the greatest values, the greatest first.

    `[rows, most]` over all further axes, or `[most]` of a single row.
    """
    element = element_of(array)
    if element.is_string or element.name == "bool":
        raise InvalidRequest(
            f'output "{name}" is {datatype_of(element)}: a classification needs numbers.'
        )
    values: Array = array
    if element.is_float or element.bits < 8:
        values = array.astype(np.float64)
    is_batch = array.ndim > 1
    count = math.prod(array.shape[1:]) if is_batch else array.size
    rows = values.reshape(len(array) if is_batch else 1, count)
    width = min(most, count)
    # The greatest first; of integers the complement, for the least has no negative.
    falling = np.negative(rows) if rows.dtype.kind == "f" else np.invert(rows)
    order = np.argsort(falling, axis=1, kind="stable")
    out = np.empty((len(rows), width), dtype=object)
    for at, row in enumerate(rows):
        for rank, index in enumerate(order[at, :width].tolist()):
            out[at, rank] = _class(row[index], index, labels)
    return out if is_batch else out[0]


def _class(value: object, index: int, labels: Labels | None) -> str:
    shown = f"{value:f}" if isinstance(value, float) else str(value)
    label = f":{labels[index]}" if labels is not None and index < len(labels) else ""
    return f"{shown}:{index}{label}"
