"""What the service says of itself."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel


class Part(StrEnum):
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    DISABLED = "disabled"
    EMBEDDED = "embedded"


class Overall(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"


class WorkersHealth(BaseModel):
    """The server processes: ready, wanted, and those that took another's place."""

    alive: int
    total: int
    restarts: int


class Health(BaseModel):
    status: Overall
    version: str
    environment: str
    timestamp: datetime
    database: Part
    redis: Part
    queue: Part
    workers: WorkersHealth


class Readiness(BaseModel):
    ready: bool


class Liveness(BaseModel):
    live: bool


class PredictionCacheMetrics(BaseModel):
    hits: int
    misses: int
    bypasses: int
    coalesced: int
    memory_hits: int
    redis_hits: int
    errors: int
    entries: int
    bytes: int
    evictions: int
    redis_available: bool | None
    hit_rate: float


class CacheMetrics(BaseModel):
    prediction_cache: PredictionCacheMetrics
