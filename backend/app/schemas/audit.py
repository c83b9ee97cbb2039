"""The audit log as administrators see it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.enums import Action


class AuditEntryRead(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "seq": 42,
                "at": "2026-01-01T00:00:00.123456Z",
                "actor": "3kTMd9xWqB0c",
                "via": "PATCH /api/v1/models/{ref}",
                "action": "model.archive",
                "object": "wine:1.0.0",
                "digest": None,
                "result": "ok",
                "detail": {"id": "0f9b6d5e-3f0d-4c39-9d0c-1f2f6f0e8a77"},
                "peer": "192.0.2.7",
                "request_id": "d3b0c1b2-4b0e-4a39-8f0c-6a4a2a1d9c55",
                "previous": "5f…",
                "hash": "a1…",
            }
        }
    )

    seq: int = Field(description="From 1, without a gap.")
    at: datetime
    actor: str = Field(
        description="The id of an API key; `anonymous` without one, `everybody` where "
        "authentication is off, `cli`, `janitor` or `server`."
    )
    via: str | None = Field(description="The route, RPC or command.")
    action: Action
    object: str = Field(
        description="`name:version`, `name@alias`, or the id of a job or key."
    )
    digest: str | None = Field(description="Of the files of a version.")
    result: str
    detail: dict[str, Any] | None
    peer: str | None = Field(description="The address of the caller.")
    request_id: str | None
    previous: str = Field(description="The hash of the entry before.")
    hash: str


class AuditList(BaseModel):
    items: list[AuditEntryRead]
    total: int
    page: int
    page_size: int
    total_pages: int
