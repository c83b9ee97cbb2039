"""The in-process tier: bounded by bytes and by age, least recently used goes first."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from app.cache.base import LocalUsage, Outputs
from app.cache.key import CacheKey
from app.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryTier
from app.cache.sharing import footprint, freeze


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def name(number: int, version_id: str = "v1") -> CacheKey:
    return CacheKey(version_id, 0, number.to_bytes(16, "little"))


def answer(number: float = 0) -> Outputs:
    return {"y": np.array([number], np.float32)}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tier(clock: Clock) -> MemoryTier:
    """Room for three entries of 1000 bytes."""
    size = 3 * (1000 + ENTRY_OVERHEAD_BYTES)
    return MemoryTier(max_bytes=size, ttl_s=60, clock=clock)


def test_finds_what_was_put_and_nothing_else(tier: MemoryTier) -> None:
    outputs = answer(1)
    tier.put(name(1), outputs, size_bytes=1000)
    assert tier.find(name(1)) is outputs
    assert tier.find(name(2)) is None
    assert tier.find(name(1, "v2")) is None


def test_least_recently_used_entry_leaves_first(tier: MemoryTier) -> None:
    for number in (1, 2, 3):
        tier.put(name(number), answer(number), size_bytes=1000)
    tier.find(name(1))
    tier.put(name(4), answer(4), size_bytes=1000)
    assert tier.find(name(2)) is None
    assert all(tier.find(name(number)) for number in (1, 3, 4))
    assert tier.usage() == LocalUsage(3, 3 * (1000 + ENTRY_OVERHEAD_BYTES), 1)


def test_a_large_entry_takes_the_place_of_several(tier: MemoryTier) -> None:
    for number in (1, 2, 3):
        tier.put(name(number), answer(number), size_bytes=1000)
    tier.put(name(4), answer(4), size_bytes=3000)
    assert tier.find(name(4)) is not None
    assert tier.usage().entries == 1
    assert tier.usage().evictions == 3


def test_an_entry_larger_than_the_tier_is_not_kept(tier: MemoryTier) -> None:
    tier.put(name(1), answer(1), size_bytes=1000)
    tier.put(name(2), answer(2), size_bytes=10_000)
    assert tier.find(name(2)) is None
    assert tier.find(name(1)) is not None


def test_an_entry_dies_when_its_time_has_come(tier: MemoryTier, clock: Clock) -> None:
    tier.put(name(1), answer(1), size_bytes=1000)
    clock.now += 59.9
    assert tier.find(name(1)) is not None
    clock.now += 0.1
    assert tier.find(name(1)) is None
    assert tier.usage() == LocalUsage(0, 0, 0)


def test_a_shorter_life_is_kept_and_a_longer_one_cut(
    tier: MemoryTier, clock: Clock
) -> None:
    tier.put(name(1), answer(1), size_bytes=1000, ttl_s=5)
    tier.put(name(2), answer(2), size_bytes=1000, ttl_s=500)
    clock.now += 5
    assert tier.find(name(1)) is None
    clock.now += 55
    assert tier.find(name(2)) is None


def test_putting_again_replaces_and_renews(tier: MemoryTier, clock: Clock) -> None:
    tier.put(name(1), answer(1), size_bytes=1000)
    clock.now += 40
    newer = answer(2)
    tier.put(name(1), newer, size_bytes=500)
    clock.now += 40
    assert tier.find(name(1)) is newer
    assert tier.usage() == LocalUsage(1, 500 + ENTRY_OVERHEAD_BYTES, 0)


def test_dropping_a_version_leaves_the_others(tier: MemoryTier) -> None:
    tier.put(name(1), answer(), size_bytes=10)
    tier.put(CacheKey("v1", 7, bytes(16)), answer(), size_bytes=10)
    tier.put(name(1, "v2"), answer(), size_bytes=10)
    tier.drop_version("v1")
    assert tier.usage().entries == 1
    assert tier.find(name(1, "v2")) is not None


def test_footprint_counts_data_and_objects() -> None:
    assert footprint({"y": np.zeros(1000, np.float32)}, limit=10**6) > 4000
    view = np.zeros((2, 1000), np.float32)[0]
    assert footprint({"y": view}, limit=10**6) > 4000
    long = np.array(["x" * 5000], object)
    assert footprint({"y": long}, limit=10**6) > 5000
    maps: Any = {"y": [{0: 0.1, 1: 0.9} for _ in range(100)]}
    assert footprint(maps, limit=10**6) > 20_000


def test_footprint_stops_soon_after_its_limit() -> None:
    maps: Any = {"y": [{0: 0.1} for _ in range(10_000)]}
    assert 100_000 < footprint(maps, limit=100_000) < 101_000


def test_frozen_arrays_cannot_be_written() -> None:
    inner: Any = {"z": np.zeros(2)}
    frozen: Any = freeze({"y": [np.zeros(2), inner]}, copy=True)
    for array in (frozen["y"][0], frozen["y"][1]["z"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_frozen_view_no_longer_follows_what_it_viewed() -> None:
    body = np.zeros((100, 3), np.float32)
    frozen: Any = freeze({"y": body[1]}, copy=True)
    body[:] = 7
    assert frozen["y"].tolist() == [0, 0, 0]
    assert frozen["y"].base is None


def test_freezing_without_a_copy_leaves_the_owner_able_to_write() -> None:
    body = np.zeros((2, 3), np.float32)
    frozen: Any = freeze({"y": body[1]}, copy=False)
    assert np.shares_memory(frozen["y"], body)
    assert not frozen["y"].flags.writeable
    assert body.flags.writeable
