"""The JSON body of a prediction, and its JSON answer."""

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import orjson

from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.features import Row, build_table
from app.codecs.json_document import Numbers, Path, loads
from app.codecs.json_shapes import build_shaped, is_shaped, unsaid_shapes
from app.codecs.json_tensors import Index, build_tensor
from app.codecs.json_values import OPTIONS, jsonable, rows_json
from app.engine.value_types import OptionalType, SequenceType, TensorType, ValueType
from app.engine.values import Array, Value
from app.errors import InvalidInput, InvalidJSON, InvalidRequest
from app.kit.ids import new_id

FORMS = ("input_data", "features", "rows")
OPTION_NAMES = ("skip_cache", "request_id", "outputs")
MAX_REQUEST_ID = 128
TENSORS: Path = ("input_data", None)


class PredictJSON:
    """`{"input_data": …}`, `{"features": …}` or `{"rows": …}`, and options."""

    def decode(self, body: bytes, target: Target) -> Asked:
        data = parse_object(body, TENSORS)
        form = _form(data)
        outputs = _outputs(data.get("outputs"), target)
        skip_cache, request_id = _options(data)
        if form == "input_data":
            inputs = _input_data(data[form], target)
            return Asked(inputs, outputs, skip_cache, request_id)
        if form == "features":
            rows = [_row(data[form], "features")]
            table = build_table(rows, target, lambda _: "features")
        else:
            rows = rows_of(data[form], "rows")
            table = build_table(rows, target, lambda at: f"rows[{at}]")
        return Asked(
            table.tensors, outputs, skip_cache, request_id, len(rows), table.ignored
        )

    def encode(self, answer: Answer) -> Encoded:
        target, asked = answer.target, answer.asked
        types = target.signature.outputs_by_name
        body: dict[str, Any] = {
            "id": new_id(),
            "model_id": target.version_id,
            "model_name": target.name,
            "model_version": target.version,
            "output_data": {
                name: jsonable(value, types[name].type)
                for name, value in answer.outputs.items()
            },
        }
        if shapes := unsaid_shapes(answer.outputs):
            body["output_shapes"] = shapes
        if asked.rows is not None:
            body["predictions"] = _predictions(answer, asked.rows)
        if asked.ignored:
            body["ignored_features"] = asked.ignored
        if asked.request_id is not None:
            body["request_id"] = asked.request_id
        body["inference_time_ms"] = answer.inference_time_ms
        body["cached"] = answer.cached
        body["created_at"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return Encoded(orjson.dumps(body, option=OPTIONS))


def parse_object(body: bytes, tensors: Path | None = None) -> dict[str, Any]:
    """The body as a JSON object; InvalidJSON says where it breaks.

    Lists at `tensors` may come as `Numbers` if the body is large.
    """
    try:
        data = orjson.loads(body) if tensors is None else loads(body, tensors)
    except orjson.JSONDecodeError as error:
        hint = ""
        if b"NaN" in body or b"Infinity" in body:
            hint = ' NaN and infinities are written as the strings "NaN", "Infinity".'
        raise InvalidJSON(f"The body is no valid JSON: {error}.{hint}") from None
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"The body must be a JSON object, got {_kind(data)}; for example "
            f'{{"input_data": {{"x": [[1.0, 2.0]]}}}}.'
        )
    return cast("dict[str, Any]", data)


def rows_of(value: object, place: str) -> list[Row]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest(
            f"{place} must be a list of at least one object of features, "
            f"got {_kind(value)}."
        )
    return [_row(row, f"{place}[{at}]") for at, row in enumerate(value)]


def _row(value: object, place: str) -> Row:
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"{place} must be an object of feature names and values, "
            f"got {_kind(value)}."
        )
    return value


def _form(data: dict[str, Any]) -> str:
    given = [form for form in FORMS if form in data]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise InvalidRequest(
            f"The body must hold exactly one of input_data, features and rows, "
            f"found {found}."
        )
    unknown = [key for key in data if key not in FORMS and key not in OPTION_NAMES]
    if unknown:
        raise InvalidRequest(
            f"The body holds unknown fields: {', '.join(unknown)}; beside {given[0]} "
            f"it may hold {', '.join(OPTION_NAMES)}."
        )
    return given[0]


def _options(data: dict[str, Any]) -> tuple[bool, str | None]:
    skip_cache = data.get("skip_cache", False)
    if not isinstance(skip_cache, bool):
        raise InvalidRequest(
            f"skip_cache must be true or false, got {_kind(skip_cache)}."
        )
    request_id = data.get("request_id")
    if request_id is not None and not _is_request_id(request_id):
        raise InvalidRequest(
            f"request_id must be a string of 1 to {MAX_REQUEST_ID} printable ASCII "
            f"characters."
        )
    return skip_cache, request_id


def _is_request_id(value: object) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_REQUEST_ID:
        return False
    return value.isascii() and value.isprintable()


def _outputs(wanted: object, target: Target) -> tuple[str, ...] | None:
    if wanted is None or wanted == []:
        return None
    known = target.signature.outputs_by_name
    if not isinstance(wanted, list) or not all(isinstance(n, str) for n in wanted):
        raise InvalidRequest(
            f"outputs must be a list of output names, got {_kind(wanted)}; "
            f"this model has {', '.join(known)}."
        )
    for name in wanted:
        if name not in known:
            raise InvalidRequest(
                f'outputs: the model has no output "{name}"; it has {", ".join(known)}.'
            )
    if len(set(wanted)) != len(wanted):
        raise InvalidRequest("outputs names an output twice.")
    return tuple(wanted)


def _input_data(data: object, target: Target) -> dict[str, Value]:
    names = list(target.signature.inputs_by_name)
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"input_data must be an object with a tensor for every input "
            f"({', '.join(names)}), got {_kind(data)}."
        )
    inputs: dict[str, Value] = {}
    for name, value in data.items():
        spec = target.signature.inputs_by_name.get(name)
        if spec is None:
            raise InvalidInput(
                f'input_data: the model has no input "{name}"; '
                f"it takes {', '.join(names) or 'none'}."
            )
        inputs[name] = _value(value, spec.type, spec.shape, f"input_data.{name}")
    return inputs


def _value(
    data: object, type_: ValueType, shape: tuple[Any, ...] | None, place: str
) -> Value:
    if isinstance(type_, OptionalType):
        return None if data is None else _value(data, type_.of, None, place)
    if isinstance(type_, SequenceType):
        data = data.as_list() if isinstance(data, Numbers) else data
        if not isinstance(data, list):
            raise InvalidInput(f"{place}: expected a list, got {_kind(data)}.")
        return [
            _value(item, type_.of, None, f"{place}[{at}]")
            for at, item in enumerate(data)
        ]
    if isinstance(type_, TensorType):

        def where(index: Index) -> str:
            return place + "".join(f"[{i}]" for i in index)

        if is_shaped(data):
            return build_shaped(data, type_.element, where)
        return _with_rank(build_tensor(data, type_.element, where), shape)
    raise InvalidInput(f"{place}: inputs of type {type_} cannot be sent as JSON.")


def _with_rank(tensor: Array, shape: tuple[Any, ...] | None) -> Array:
    """`[]` cannot say `[0, 4]`: an empty tensor takes the model's further dims."""
    if tensor.size or shape is None or tensor.ndim >= len(shape):
        return tensor
    rest = [dim if isinstance(dim, int) else 0 for dim in shape[tensor.ndim :]]
    return tensor.reshape(*tensor.shape, *rest)


def _predictions(answer: Answer, count: int) -> list[dict[str, Any]]:
    """One object per row, of the outputs whose first axis is the rows."""
    types = answer.target.signature.outputs_by_name
    columns: dict[str, list[Any]] = {}
    for name, value in answer.outputs.items():
        if isinstance(value, np.ndarray) and value.ndim and len(value) == count:
            columns[name] = rows_json(value)
        elif isinstance(value, list) and len(value) == count:
            columns[name] = jsonable(value, types[name].type)
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, list):
        return "an empty list" if not value else "a list"
    return "an object"
