"""What the Open Inference Protocol's routes share in the OpenAPI document."""

from typing import Any, Final

from app.api.openapi import REASONS
from app.schemas.oip import OipError

TAGS: Final = ["open inference protocol"]


def oip_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {
            "model": OipError,
            "description": _REASONS.get(status, REASONS[status]),
        }
        for status in statuses
    }


_REASONS: Final = {
    400: "The request is malformed, or an input does not fit the model",
    404: "No such model, version, alias or route",
    503: "The model is not ready, or the server is overloaded or shutting down",
}


def body_of(schema: type[Any]) -> dict[str, Any]:
    """An optional JSON body that the route reads for itself: clients name any content
    type for it, or none."""
    content = {"application/json": {"schema": schema.model_json_schema()}}
    return {"requestBody": {"required": False, "content": content}}
