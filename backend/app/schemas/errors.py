"""The shape of every error of `/api/v1` (RFC 9457)."""

from pydantic import BaseModel, ConfigDict


class FieldProblem(BaseModel):
    loc: str
    msg: str


class Problem(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:mlforge:error:model_not_found",
                "title": "Model not found",
                "status": 404,
                "detail": 'There is no model named "wine".',
                "code": "model_not_found",
                "request_id": "0f9b6d5e-3f0d-4c39-9d0c-1f2f6f0e8a77",
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem] | None = None
