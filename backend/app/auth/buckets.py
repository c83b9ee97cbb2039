"""Token buckets: so many at once after a pause, and so many a second for long."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from app.errors import RateLimited

Clock = Callable[[], float]

# Callers that guess keys and are remembered; the one that was quiet longest goes.
MOST_SITES: Final = 4096
# What sums of fractions may be off by.
_ROUNDING_S: Final = 1e-6


class Bucket:
    """Keeps one number: the instant when it is full again. Belongs to one event loop."""

    __slots__ = ("_clock", "_full_at", "_interval_s", "_tolerance_s", "burst", "per_s")

    def __init__(
        self, per_s: float, burst: int, *, clock: Clock = time.monotonic
    ) -> None:
        self.per_s = per_s
        self.burst = burst
        self._interval_s = 1 / per_s
        self._tolerance_s = (burst - 1) / per_s + _ROUNDING_S
        self._full_at = 0.0
        self._clock = clock

    def is_like(self, other: "Bucket") -> bool:
        """Whether it has the same limits."""
        return (self.per_s, self.burst) == (other.per_s, other.burst)

    def wait_s(self) -> float:
        """Seconds until one may be taken; 0 or less: now."""
        return self._full_at - self._tolerance_s - self._clock()

    def take(self) -> None:
        self._full_at = max(self._full_at, self._clock()) + self._interval_s


def bucket_of(requests_per_s: float | None, burst: int | None) -> Bucket | None:
    """None where there is no limit. Left out, the burst is a second's worth."""
    if not requests_per_s:
        return None
    return Bucket(requests_per_s, burst or max(1, math.ceil(requests_per_s)))


def spend(bucket: Bucket, whose: str) -> None:
    """Takes one request. Raises RateLimited where there is none."""
    wait_s = bucket.wait_s()
    if wait_s > 0:
        raise RateLimited(
            f"{whose} may send {bucket.per_s:g} requests a second, {bucket.burst} at "
            f"once: wait {wait_s:.3g} s, then send it again.",
            retry_after_s=math.ceil(wait_s),
        )
    bucket.take()


class SiteBuckets:
    """A bucket for each of the callers of late; memory for so many and no more."""

    def __init__(
        self, per_s: float, burst: int, *, clock: Clock = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._sites: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sites)

    def of(self, site: str) -> Bucket:
        bucket = self._sites.get(site)
        if bucket is None:
            if len(self._sites) >= MOST_SITES:
                self._sites.popitem(last=False)
            bucket = Bucket(self._per_s, self._burst, clock=self._clock)
            self._sites[site] = bucket
        else:
            self._sites.move_to_end(site)
        return bucket
