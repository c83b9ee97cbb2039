"""What all the processes of one port did, asked of any of them."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import orjson

from app.cache.base import CacheStats
from app.cache.tiered import PredictionCache
from app.observability import samples
from app.observability.metrics import Metrics
from app.observability.samples import Family
from app.observability.siblings import Place, Siblings
from app.observability.statistics import Statistics

COUNTS: Final = b"counts"
RESET_CACHE: Final = b"reset-cache"
WAKE: Final = b"wake"
_DONE: Final = b"done"
_OF_NOW: Final = frozenset({"entries", "bytes", "redis_available"})


@dataclass(frozen=True, slots=True)
class Workers:
    """The server processes: how many are ready, how many there should be, and how
    many took the place of another."""

    alive: int = 1
    total: int = 1
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What one process counted, and those whose place it took."""

    families: list[Family]
    statistics: Statistics
    cache: dict[str, Any]

    def written(self) -> bytes:
        plain = {
            "families": self.families,
            "statistics": self.statistics.plain(),
            "cache": self.cache,
        }
        return orjson.dumps(plain, option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def read(cls, said: bytes) -> "Counts":
        if not said:
            return cls([], Statistics(), {})
        plain = orjson.loads(said)
        return cls(
            samples.read(plain["families"]),
            Statistics.read(plain["statistics"]),
            plain["cache"],
        )

    def of_the_dead(self) -> "Counts":
        """Without what was only so while the process lived."""
        cache = {name: n for name, n in self.cache.items() if name not in _OF_NOW}
        return Counts(samples.cumulative(self.families), self.statistics, cache)


class Fleet:
    """Alone, it tells of this process."""

    def __init__(
        self,
        place: Place,
        metrics: Metrics,
        statistics: Statistics,
        cache: PredictionCache,
        *,
        wake: Callable[[], None],
    ) -> None:
        self.workers = Workers(total=place.total)
        self._place = place
        self._siblings = Siblings(place)
        self._metrics = metrics
        self._statistics = statistics
        self._cache = cache
        self._wake = wake
        self._inherited = Counts.read(b"")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Takes over what the last process of this place counted; answers siblings."""
        if not self._place.is_shared:
            yield
            return
        self._inherited = Counts.read(self._siblings.kept(self._place.slot))
        self._inherited = self._inherited.of_the_dead()
        answers = {COUNTS: self._counted, RESET_CACHE: self._reset, WAKE: self._woken}
        async with self._siblings.answering(answers):
            yield
        self._counted()

    def note(self, workers: Workers) -> None:
        """How the processes are, as their supervisor says."""
        restarted = workers.restarts - self.workers.restarts
        self.workers = workers
        self._metrics.workers.set(workers.alive)
        self._metrics.worker_restarts.inc(max(restarted, 0))

    async def page(self) -> bytes:
        """The text of `GET /metrics`."""
        if not self._place.is_shared:
            return self._metrics.render()
        counts = await self._gather()
        return samples.write(samples.added(one.families for one in counts))

    async def statistics(self) -> Statistics:
        """To be read only."""
        if not self._place.is_shared:
            return self._statistics
        total = Statistics()
        for counts in await self._gather():
            total.include(counts.statistics)
        return total

    async def cache_stats(self) -> CacheStats:
        if not self._place.is_shared:
            return self._cache.stats()
        return _stats(one.cache for one in await self._gather())

    async def reset_cache(self) -> None:
        """Starts the cache's counts again, in every process."""
        self._reset()
        await self._siblings.ask(RESET_CACHE)

    async def wake_others(self) -> None:
        """Has the other processes look for jobs."""
        await self._siblings.ask(WAKE)

    async def _gather(self) -> list[Counts]:
        """In the order of the slots, whoever is asked."""
        said = await self._siblings.ask(COUNTS)
        said[self._place.slot] = self._counted()
        return [
            Counts.read(said[slot])
            if slot in said
            else Counts.read(self._siblings.kept(slot)).of_the_dead()
            for slot in range(self._place.total)
        ]

    def _counted(self) -> bytes:
        """Kept before it is told: what anybody saw is never forgotten, so that no
        sum falls when a process dies."""
        own = samples.take(self._metrics.registry, worker=str(self._place.slot))
        statistics = Statistics()
        for counted in (self._inherited.statistics, self._statistics):
            statistics.include(counted)
        cache = asdict(_stats([self._inherited.cache, asdict(self._cache.stats())]))
        families = samples.added([own, self._inherited.families])
        counts = Counts(families, statistics, cache).written()
        self._siblings.keep(counts)
        return counts

    def _reset(self) -> bytes:
        self._inherited.cache.clear()
        self._cache.reset()
        if self._place.is_shared:
            self._counted()
        return _DONE

    def _woken(self) -> bytes:
        self._wake()
        return _DONE


def _stats(several: Iterable[dict[str, Any]]) -> CacheStats:
    found = [one for one in several if one]
    redis = [one["redis_available"] for one in found if "redis_available" in one]
    known = [one for one in redis if one is not None]
    sums = {
        one.name: sum(counts.get(one.name, 0) for counts in found)
        for one in fields(CacheStats)
        if one.name != "redis_available"
    }
    return CacheStats(**sums, redis_available=all(known) if known else None)
