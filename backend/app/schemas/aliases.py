"""Aliases as callers send and see them."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.schemas.base import StrictBody

_EXAMPLE: JsonDict = {
    "name": "iris",
    "alias": "production",
    "version": "1.0.0",
    "model_id": "0f9b6d5e-3f0d-4c39-9d0c-1f2f6f0e8a77",
}


class AliasPut(StrictBody):
    model_config = ConfigDict(json_schema_extra={"example": {"version": "1.0.0"}})

    version: str = Field(description="A ready version of this name.")


class AliasRead(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: str
    alias: str
    version: str
    model_id: str = Field(description="The id of that version.")


class AliasList(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "iris", "aliases": [_EXAMPLE], "total": 1}
        }
    )

    name: str
    aliases: list[AliasRead]
    total: int
