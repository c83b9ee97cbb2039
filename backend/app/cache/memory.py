"""Predictions kept in this process: least recently used leaves first, old ones die."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from app.cache.base import LocalUsage, Outputs
from app.cache.key import CacheKey

# Key, entry and their slots: 240 bytes as tracemalloc counts, and some for rounding.
ENTRY_OVERHEAD_BYTES = 320


# Python's collector looks through all that may hold others, again and again. It learns
# to leave out plain tuples of scalars, and dicts of arrays, but no named tuple and
# nothing that holds a dict: so keys are plain, and the outputs stand apart.
_Key = tuple[str, int, bytes]
# When an entry expires, and its size.
_Life = tuple[float, int]


class MemoryTier:
    """Bounded by bytes and by age. For one event loop; not safe across threads.

    A found entry is the one kept, not a copy, so nobody may change it.
    """

    enabled = True

    def __init__(
        self,
        *,
        max_bytes: int,
        ttl_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._lives: OrderedDict[_Key, _Life] = OrderedDict()
        self._outputs: dict[_Key, Outputs] = {}
        self._bytes = 0
        self._evictions = 0

    def find(self, cache_key: CacheKey) -> Outputs | None:
        life = self._lives.get(cache_key)
        if life is None:
            return None
        if life[0] <= self._clock():
            self._remove(cache_key)
            return None
        self._lives.move_to_end(cache_key)
        return self._outputs[cache_key]

    def put(
        self,
        cache_key: CacheKey,
        outputs: Outputs,
        *,
        size_bytes: int,
        ttl_s: float | None = None,
    ) -> None:
        self._remove(cache_key)
        size = ENTRY_OVERHEAD_BYTES + size_bytes
        if size > self._max_bytes:
            return
        lives_s = self._ttl_s if ttl_s is None else min(ttl_s, self._ttl_s)
        version_id, epoch, digest = cache_key
        key = (version_id, epoch, digest)
        self._lives[key] = (self._clock() + lives_s, size)
        self._outputs[key] = outputs
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._remove(next(iter(self._lives)))
            self._evictions += 1

    def drop_version(self, version_id: str) -> None:
        # Rare, so it pays with a scan and the warm path with nothing.
        for key in [key for key in self._lives if key[0] == version_id]:
            self._remove(key)

    def usage(self) -> LocalUsage:
        return LocalUsage(len(self._lives), self._bytes, self._evictions)

    def _remove(self, key: _Key) -> None:
        life = self._lives.pop(key, None)
        if life is not None:
            del self._outputs[key]
            self._bytes -= life[1]
