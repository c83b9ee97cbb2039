"""API keys as administrators send and see them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.enums import Scope
from app.schemas.base import StrictBody

_EXAMPLE: JsonDict = {
    "id": "3kTMd9xWqB0c",
    "name": "nightly scoring",
    "scopes": ["predict"],
    "model_pattern": "wine*",
    "status": "active",
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "successor": None,
    "requests_per_s": 20,
    "burst": None,
    "concurrent_jobs": 5,
    "models": None,
    "stored_mb": None,
}


_RATE = Annotated[float | None, Field(strict=True)]
_COUNT = Annotated[int | None, Field(strict=True)]
_PER_S = "Requests a second, in each server process. 0: no limit; null: the default."
_BURST = "Requests at once after a pause; null: a second's worth."
_JOBS = "Jobs that have not ended."
_MODELS = "Versions that it made."
_STORED = "Model files and job inputs, in MiB."


class KeyLimitsSet(StrictBody):
    """0 is no limit, null the server's default."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"requests_per_s": 20, "concurrent_jobs": 5}}
    )

    requests_per_s: _RATE = Field(None, description=_PER_S)
    burst: _COUNT = Field(None, description=_BURST)
    concurrent_jobs: _COUNT = Field(None, description=_JOBS)
    models: _COUNT = Field(None, description=_MODELS)
    stored_mb: _COUNT = Field(None, description=_STORED)


class KeyCreate(KeyLimitsSet):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "nightly scoring",
                "scopes": ["predict"],
                "model_pattern": "wine*",
                "expires_in_days": 90,
            }
        }
    )

    name: str = Field(description="Who or what holds the key.")
    scopes: list[Scope] = Field(
        min_length=1, description="`admin` implies all others, `write` implies `read`."
    )
    model_pattern: str | None = Field(
        None,
        description="Only models of such names exist for the key; `*` and `?` stand "
        "for any characters and any one. Left out: all models.",
    )
    expires_in_days: float | None = Field(
        None,
        ge=0.0001,
        le=3650,
        strict=True,
        description="Left out: until it is revoked.",
    )


class KeyRotate(StrictBody):
    overlap_hours: float = Field(
        24.0, ge=0, le=2160, description="How long the old key stays valid."
    )


class KeyRead(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: str
    name: str
    scopes: list[Scope]
    model_pattern: str | None
    status: Literal["active", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Exact to a minute or two.")
    successor: str | None = Field(description="The id of the key it was rotated to.")
    requests_per_s: float | None = Field(description=_PER_S)
    burst: int | None = Field(description=_BURST)
    concurrent_jobs: int | None = Field(description=_JOBS)
    models: int | None = Field(description=_MODELS)
    stored_mb: int | None = Field(description=_STORED)


class KeyMade(KeyRead):
    model_config = ConfigDict(
        json_schema_extra={"example": {**_EXAMPLE, "key": "mlf_3kTMd9xWqB0c_…"}}
    )

    key: str = Field(description="The key itself. It is shown this once.")


class KeyList(BaseModel):
    items: list[KeyRead]
    total: int
    page: int
    page_size: int
    total_pages: int
