"""A large cache costs Python's garbage collector next to nothing."""

import gc

import numpy as np

from app.cache.key import CacheKey
from app.cache.memory import MemoryTier


def test_entries_are_nothing_that_the_collector_looks_through() -> None:
    tier = MemoryTier(max_bytes=2**30, ttl_s=60)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(5000):
        key = CacheKey("version", 1, number.to_bytes(16))
        tier.put(key, {"y": np.zeros(2), "z": np.zeros(1)}, size_bytes=1)
    gc.collect()
    assert len(gc.get_objects()) - before < 500
