"""What a prediction cache is made of: two kinds of tiers, and words for what happened.

A local tier lives in this process and answers at once; a shared tier is over a
network, so a look-up is awaited and a store only promised.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.cache.key import CacheKey
from app.engine.values import Value

Outputs = dict[str, Value]


class CacheStatus(StrEnum):
    """The value of the `X-Cache` header."""

    HIT = "HIT"
    MISS = "MISS"
    BYPASS = "BYPASS"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of a shared tier and the seconds it has left to live."""

    outputs: Outputs
    ttl_s: float


@dataclass(frozen=True, slots=True)
class LocalUsage:
    entries: int = 0
    bytes: int = 0
    evictions: int = 0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the start or the last reset; entries and bytes are of now.

    Every call is one of hits, misses, bypasses or coalesced: those who waited
    for an equal call already on its way. `redis_available` is None without Redis.
    """

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


class LocalTier(Protocol):
    """Entries are shared by all who find them: their arrays must be read-only."""

    @property
    def enabled(self) -> bool: ...

    def find(self, cache_key: CacheKey) -> Outputs | None: ...

    def put(
        self,
        cache_key: CacheKey,
        outputs: Outputs,
        *,
        size_bytes: int,
        ttl_s: float | None = None,
    ) -> None:
        """Keeps `outputs`, for `ttl_s` seconds where that is less than the tier's."""

    def drop_version(self, version_id: str) -> None: ...

    def usage(self) -> LocalUsage: ...


class SharedTier(Protocol):
    @property
    def enabled(self) -> bool: ...

    @property
    def available(self) -> bool | None: ...

    @property
    def errors(self) -> int: ...

    async def find(self, cache_key: CacheKey) -> Found | None:
        """The entry; None where there is none or the tier is in trouble."""

    def put(self, cache_key: CacheKey, outputs: Outputs, *, size_bytes: int) -> None:
        """Stores some time later, or not at all; never waits and never raises."""

    async def close(self) -> None: ...


class NoLocalTier:
    """Stands for the process's memory when it keeps no predictions."""

    enabled = False

    def find(self, cache_key: CacheKey) -> Outputs | None:
        return None

    def put(
        self,
        cache_key: CacheKey,
        outputs: Outputs,
        *,
        size_bytes: int,
        ttl_s: float | None = None,
    ) -> None:
        return None

    def drop_version(self, version_id: str) -> None:
        return None

    def usage(self) -> LocalUsage:
        return LocalUsage()


class NoSharedTier:
    """Stands for Redis when there is none."""

    enabled = False
    available = None
    errors = 0

    async def find(self, cache_key: CacheKey) -> Found | None:
        return None

    def put(self, cache_key: CacheKey, outputs: Outputs, *, size_bytes: int) -> None:
        return None

    async def close(self) -> None:
        return None
