"""Models, that is versions under a name, as callers send and see them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    computed_field,
    field_validator,
)
from pydantic.config import JsonDict

from app.enums import VersionStatus
from app.schemas.base import StrictBody

_ID = "0f9b6d5e-3f0d-4c39-9d0c-1f2f6f0e8a77"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_INPUT: JsonDict = {"name": "input", "dtype": "float32", "shape": ["N", 4]}
_OUTPUT: JsonDict = {"name": "probabilities", "dtype": "float32", "shape": ["N", 3]}

Metadata = Annotated[
    dict[str, Any], Field(description="Anything you want to keep; 64 KiB at most.")
]


class ModelCreate(StrictBody):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "iris",
                "version": "1.0.0",
                "description": "Iris species from four lengths",
                "model_metadata": {"team": "botany"},
            }
        }
    )

    name: str = Field(
        description="Letters, digits, `.`, `_`, `-`; 128 characters at most."
    )
    version: str | None = Field(
        None, description="50 characters at most; left out, 1.0.0 or the next minor."
    )
    description: str | None = None
    model_metadata: Metadata = Field(default_factory=dict)


class ModelPatch(StrictBody):
    """Fields left out stay as they are; only `description` may be null."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"is_default": True, "description": "The one"}}
    )

    description: str | None = None
    model_metadata: Metadata | None = None
    is_default: StrictBool | None = Field(
        None, description="true moves the default here; needs a ready version."
    )
    status: Literal["archived", "ready"] | None = Field(
        None, description="archived takes a ready version out of service, ready back."
    )

    @field_validator("model_metadata", "is_default", "status", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("may not be null: give a value or leave it out")
        return value


class ValueRead(BaseModel):
    """`shape`: numbers are fixed, names and null are free; null has no shape."""

    name: str
    dtype: str
    shape: list[int | str | None] | None


class FileRead(BaseModel):
    name: str
    size_bytes: int
    sha256: str


class ModelRead(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": _ID,
                "model_id": _ID,
                "name": "iris",
                "version": "1.0.0",
                "description": "Iris species from four lengths",
                "status": "ready",
                "is_default": False,
                "aliases": ["production"],
                "file_size_bytes": 1402,
                "file_hash": _HASH,
                "files": [{"name": "model.onnx", "size_bytes": 1402, "sha256": _HASH}],
                "input_schema": [_INPUT],
                "output_schema": [_OUTPUT],
                "feature_names": None,
                "model_metadata": {"team": "botany"},
                "validation": {"deterministic": True, "batchable": True},
                "error_message": None,
                "created_at": "2026-11-24T06:00:00Z",
                "updated_at": "2026-11-24T06:00:00Z",
            }
        },
    )

    id: str
    name: str
    version: str
    description: str | None
    status: VersionStatus
    is_default: bool
    aliases: list[str]
    file_size_bytes: int | None = Field(description="Of the ONNX file alone.")
    file_hash: str | None = Field(description="SHA-256 of the ONNX file.")
    files: list[FileRead] | None = Field(
        description="The ONNX file and its companions; null before the upload."
    )
    input_schema: list[ValueRead] | None
    output_schema: list[ValueRead] | None
    feature_names: list[str] | None
    model_metadata: dict[str, Any]
    validation: dict[str, Any] | None = Field(
        description="What the sandbox found: opsets, `deterministic`, `batchable`, …"
    )
    error_message: str | None
    created_at: datetime
    updated_at: datetime

    @computed_field(description="The same as `id`.")
    def model_id(self) -> str:
        return self.id


class ExecutionRead(BaseModel):
    """How the process that answers runs the model."""

    model_config = ConfigDict(from_attributes=True)

    providers: list[str] = Field(
        description="ONNX Runtime's execution providers that run nodes of the model."
    )
    threads: int = Field(description="Threads of each run when there are several.")
    threads_alone: int = Field(description="Threads of a run that is alone.")


class ModelPage(ModelRead):
    execution: ExecutionRead | None = Field(
        description="Null while the process that answers has not loaded the model."
    )


class ModelList(BaseModel):
    items: list[ModelRead]
    total: int
    page: int
    page_size: int
    total_pages: int


class FileReceived(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": _ID,
                "file_size_bytes": 1402,
                "file_hash": _HASH,
                "status": "uploaded",
            }
        },
    )

    id: str
    file_size_bytes: int
    file_hash: str
    status: VersionStatus


class ValidationRead(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _ID,
                "valid": True,
                "status": "ready",
                "input_schema": [_INPUT],
                "output_schema": [_OUTPUT],
                "model_metadata": {},
                "error_message": None,
                "message": "iris:1.0.0 is ready to predict.",
            }
        }
    )

    id: str
    valid: bool
    status: VersionStatus
    input_schema: list[ValueRead] | None
    output_schema: list[ValueRead] | None
    model_metadata: dict[str, Any]
    error_message: str | None
    message: str
