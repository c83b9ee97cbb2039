"""An OpenAPI document of one model's predict call, with its own field names."""

import math
from collections.abc import Sequence
from typing import Any, Final

from app.api.openapi import PROBLEM, REASONS
from app.api.security_docs import SCHEMES, requirements
from app.auth.gate import Access
from app.codecs.features import matrix_input, takes_columns
from app.engine.signature import Signature, TensorType, ValueSpec, describe
from app.engine.tensors import ElementType
from app.engine.value_types import MapType, OptionalType, SequenceType, ValueType
from app.enums import Scope
from app.schemas.errors import Problem
from app.serving.routes import VersionRecord

# A larger example helps nobody: an image has 150,000 numbers.
_EXAMPLE_NUMBERS: Final = 1000
_JSON: Final = "application/json"
_PREDICT: Final = Access((Scope.PREDICT,))
_ERRORS: Final = (400, 401, 403, 404, 406, 409, 413, 415, 500, 503, 504)

Schema = dict[str, Any]


def document_of(record: VersionRecord) -> Schema:
    title = f"{record.name} {record.version}"
    predict = {
        "summary": f"Predict with {title}",
        "operationId": "predict",
        "security": requirements(_PREDICT),
        "requestBody": {"required": True, "content": {_JSON: _request(record)}},
        "responses": {
            "200": {
                "description": "The prediction.",
                "content": {_JSON: {"schema": _answer(record)}},
            },
            **{str(status): _problem(status) for status in _ERRORS},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": record.version},
        "paths": {f"/api/v1/models/{record.id}/predict": {"post": predict}},
        "components": {
            "schemas": {"Problem": _problem_schema()},
            "securitySchemes": SCHEMES,
        },
    }


def _problem(status: int) -> Schema:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": REASONS[status], "content": {PROBLEM: {"schema": schema}}}


def _problem_schema() -> Schema:
    schema = Problem.model_json_schema()
    inner = schema.pop("$defs")["FieldProblem"]
    schema["properties"]["errors"] = {"type": "array", "items": inner}
    return schema


def _request(record: VersionRecord) -> Schema:
    signature = record.target.signature
    options = {
        "outputs": {
            "type": "array",
            "items": {"enum": [spec.name for spec in signature.outputs]},
            "description": "The outputs wanted; left out, all of them.",
        },
        "skip_cache": {"type": "boolean", "default": False},
        "request_id": {"type": "string"},
    }
    columns = _columns(record)
    forms: dict[str, Schema] = {"input_data": _values(signature.inputs)}
    examples: dict[str, Schema] = {}
    if columns:
        row = _object({name: _element(element) for name, element in columns.items()})
        forms |= {"features": row, "rows": {"type": "array", "items": row}}
        example = {name: _sample(element) for name, element in columns.items()}
        examples["features"] = {"value": {"features": example}}
        examples["rows"] = {"value": {"rows": [example]}}
    if _is_small(signature):
        tensors = {spec.name: _sample_tensor(spec) for spec in signature.inputs}
        examples["input_data"] = {"value": {"input_data": tensors}}
    schemas = [
        {
            "type": "object",
            "properties": {form: schema, **options},
            "required": [form],
            "additionalProperties": False,
        }
        for form, schema in forms.items()
    ]
    return {"schema": {"oneOf": schemas}, "examples": examples}


def _answer(record: VersionRecord) -> Schema:
    text: Schema = {"type": "string"}
    always: dict[str, Schema] = {
        "id": text,
        "model_id": text,
        "model_name": text,
        "model_version": text,
        "output_data": _outputs(record.target.signature),
        "inference_time_ms": {"type": "number"},
        "cached": {"type": "boolean"},
        "created_at": {**text, "format": "date-time"},
    }
    sometimes: dict[str, Schema] = {"request_id": text}
    if _columns(record):
        sometimes["predictions"] = {
            "type": "array",
            "items": {"type": "object"},
            "description": "One object per row, by output, when rows were sent.",
        }
        sometimes["ignored_features"] = {"type": "array", "items": text}
    return {**_object(always), "properties": always | sometimes}


def _outputs(signature: Signature) -> Schema:
    """None is required: `outputs` of a request may leave any of them out."""
    values = {spec.name: _value(spec) for spec in signature.outputs}
    return {"type": "object", "properties": values}


def _columns(record: VersionRecord) -> dict[str, ElementType]:
    """What a row is made of; empty for a model that takes no rows."""
    signature = record.target.signature
    if takes_columns(signature):
        return {
            spec.name: spec.type.element
            for spec in signature.inputs
            if isinstance(spec.type, TensorType)
        }
    matrix = matrix_input(signature)
    if matrix is None or not isinstance(matrix.type, TensorType):
        return {}
    return dict.fromkeys(record.feature_names or (), matrix.type.element)


def _values(specs: Sequence[ValueSpec]) -> Schema:
    return _object({spec.name: _value(spec) for spec in specs})


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _value(spec: ValueSpec) -> Schema:
    return {"description": describe(spec), **_typed(spec.type, spec.shape)}


def _typed(kind: ValueType, shape: Sequence[int | str | None] | None) -> Schema:
    match kind:
        case TensorType(element=element):
            return _tensor(element, shape)
        case SequenceType(of=inner):
            return {"type": "array", "items": _typed(inner, None)}
        case MapType(value=inner):
            return {"type": "object", "additionalProperties": _typed(inner, ())}
        case OptionalType(of=inner):
            return {"anyOf": [_typed(inner, None), {"type": "null"}]}


def _tensor(element: ElementType, shape: Sequence[int | str | None] | None) -> Schema:
    if shape is None:
        return {}
    schema = _element(element)
    for dim in reversed(shape):
        length = {"minItems": dim, "maxItems": dim} if isinstance(dim, int) else {}
        schema = {"type": "array", "items": schema, **length}
    return schema


def _element(element: ElementType) -> Schema:
    if element.is_string:
        return {"type": "string"}
    if element.name == "bool":
        return {"type": "boolean"}
    if element.is_float:
        words = {"enum": ["NaN", "Infinity", "-Infinity"]}
        return {"anyOf": [{"type": "number"}, words]}
    return {"type": "integer"}


def _is_small(signature: Signature) -> bool:
    return all(
        isinstance(spec.type, TensorType)
        and spec.shape is not None
        and math.prod(_dims(spec)) <= _EXAMPLE_NUMBERS
        for spec in signature.inputs
    )


def _dims(spec: ValueSpec) -> list[int]:
    """The shape with every free dimension one long."""
    return [dim if isinstance(dim, int) else 1 for dim in spec.shape or ()]


def _sample_tensor(spec: ValueSpec) -> Any:
    assert isinstance(spec.type, TensorType)
    sample = _sample(spec.type.element)
    for dim in reversed(_dims(spec)):
        sample = [sample] * dim
    return sample


def _sample(element: ElementType) -> Any:
    if element.is_string:
        return "text"
    if element.name == "bool":
        return True
    return 1.0 if element.is_float else 1
