"""One prediction, found or made: memory, then an equal call under way, then Redis."""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from app.cache.base import CacheStats, CacheStatus, LocalTier, Outputs, SharedTier
from app.cache.key import CacheKey
from app.cache.sharing import footprint, freeze
from app.engine.values import weigh
from app.errors import ShuttingDown
from app.kit.singleflight import FlightCancelled, SingleFlight


class Run(Protocol):
    def now(self) -> Outputs | None:
        """The outputs, where they need no waiting."""

    def __call__(self) -> Awaitable[Outputs]: ...


Result = tuple[Outputs, CacheStatus]
# An entry that takes longer to write than a trip to a thread is not for the loop.
_LARGE_BYTES = 64 * 1024


@dataclass(slots=True)
class _Counts:
    misses: int = 0
    bypasses: int = 0
    coalesced: int = 0
    memory_hits: int = 0
    redis_hits: int = 0
    # What the tiers had counted when these began.
    errors_before: int = 0
    evictions_before: int = 0


class PredictionCache:
    """Belongs to one event loop.

    Outputs are shared between callers: arrays are read-only, and lists and maps
    must be left as they are.
    """

    def __init__(
        self, local: LocalTier, shared: SharedTier, *, entry_max_bytes: int
    ) -> None:
        self._local = local
        self._shared = shared
        self._entry_max_bytes = entry_max_bytes
        self._flights: SingleFlight[CacheKey, Result] = SingleFlight()
        self._counts = _Counts()

    @property
    def enabled(self) -> bool:
        """False when there is no tier: a caller may then save making a key."""
        return self._local.enabled or self._shared.enabled

    async def get_or_run(
        self, cache_key: CacheKey | None, run: Run, *, look_up: bool = True
    ) -> Result:
        """The outputs of this key, from a tier or from `run`.

        Without a key nothing is looked up or kept. `look_up=False` runs in any
        case and keeps the result. Equal calls under way share one run, which goes
        on while any of them waits, and its error; nothing is kept of a failed run.
        """
        if cache_key is None or not self.enabled:
            self._counts.bypasses += 1
            return await run(), CacheStatus.BYPASS
        if not look_up:
            self._counts.bypasses += 1
            return self._keep(cache_key, await run()), CacheStatus.BYPASS
        found = self._local.find(cache_key)
        if found is not None:
            self._counts.memory_hits += 1
            return found, CacheStatus.HIT
        return self._run_now(cache_key, run) or await self._share(cache_key, run)

    def get_or_run_now(
        self, cache_key: CacheKey | None, run: Run, *, look_up: bool = True
    ) -> Result | None:
        """As `get_or_run` where nothing has to be waited for; else None, and nothing
        was counted or run."""
        if cache_key is None or not self.enabled or not look_up:
            return self._bypass_now(cache_key, run)
        found = self._local.find(cache_key)
        if found is None:
            return self._run_now(cache_key, run)
        if weigh(found) > _LARGE_BYTES:
            return None
        self._counts.memory_hits += 1
        return found, CacheStatus.HIT

    def drop_version(self, version_id: str) -> None:
        """Frees this process's entries of a version.

        Those in Redis end with their time to live; a new epoch in the key is what
        keeps them from being found.
        """
        self._local.drop_version(version_id)

    def stats(self) -> CacheStats:
        counts, usage = self._counts, self._local.usage()
        return CacheStats(
            hits=counts.memory_hits + counts.redis_hits,
            misses=counts.misses,
            bypasses=counts.bypasses,
            coalesced=counts.coalesced,
            memory_hits=counts.memory_hits,
            redis_hits=counts.redis_hits,
            errors=self._shared.errors - counts.errors_before,
            entries=usage.entries,
            bytes=usage.bytes,
            evictions=usage.evictions - counts.evictions_before,
            redis_available=self._shared.available,
        )

    def reset(self) -> None:
        """Starts the counts again; entries stay."""
        self._counts = _Counts(
            errors_before=self._shared.errors,
            evictions_before=self._local.usage().evictions,
        )

    async def close(self) -> None:
        await self._flights.close()
        await self._shared.close()

    def _bypass_now(self, cache_key: CacheKey | None, run: Run) -> Result | None:
        outputs = run.now()
        if outputs is None:
            return None
        self._counts.bypasses += 1
        if cache_key is not None and self.enabled:
            outputs = self._keep(cache_key, outputs)
        return outputs, CacheStatus.BYPASS

    def _run_now(self, cache_key: CacheKey, run: Run) -> Result | None:
        """Without Redis to ask, and no equal run to wait for."""
        if self._shared.enabled or self._flights.is_under_way(cache_key):
            return None
        outputs = run.now()
        if outputs is None:
            return None
        self._counts.misses += 1
        return self._keep(cache_key, outputs), CacheStatus.MISS

    async def _share(self, cache_key: CacheKey, run: Run) -> Result:
        work = partial(self._find_or_run, cache_key, run)
        try:
            result, started = await self._flights.run(cache_key, work)
        except FlightCancelled as error:
            raise ShuttingDown(
                "the server is stopping and did not finish this prediction; "
                "send it again"
            ) from error
        if not started:
            self._counts.coalesced += 1
        return result

    async def _find_or_run(self, cache_key: CacheKey, run: Run) -> Result:
        found = await self._shared.find(cache_key)
        if found is None:
            self._counts.misses += 1
            return self._keep(cache_key, await run()), CacheStatus.MISS
        self._counts.redis_hits += 1
        size = footprint(found.outputs, limit=self._entry_max_bytes)
        self._local.put(cache_key, found.outputs, size_bytes=size, ttl_s=found.ttl_s)
        return found.outputs, CacheStatus.HIT

    def _keep(self, cache_key: CacheKey, outputs: Outputs) -> Outputs:
        size = footprint(outputs, limit=self._entry_max_bytes)
        if size > self._entry_max_bytes:
            return freeze(outputs, copy=False)
        outputs = freeze(outputs, copy=True)
        self._local.put(cache_key, outputs, size_bytes=size)
        self._shared.put(cache_key, outputs, size_bytes=size)
        return outputs
