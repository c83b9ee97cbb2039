"""Token buckets, by a clock that the test turns."""

import pytest

from app.auth.buckets import MOST_SITES, Bucket, SiteBuckets, bucket_of, spend
from app.auth.limits import KeyLimits
from app.errors import InvalidField, RateLimited


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(bucket: Bucket, times: int) -> int:
    """How many of so many requests it lets through."""
    through = 0
    for _ in range(times):
        if bucket.wait_s() <= 0:
            bucket.take()
            through += 1
    return through


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    clock = Clock()
    bucket = Bucket(10, 5, clock=clock)
    assert taken(bucket, 20) == 5
    for _ in range(30):
        clock.now += 0.1001
        assert taken(bucket, 3) == 1
    clock.now += 3600
    assert taken(bucket, 20) == 5


def test_a_refusal_says_when_and_costs_nothing() -> None:
    clock = Clock()
    bucket = Bucket(0.1, 1, clock=clock)
    spend(bucket, "It")
    for _ in range(5):
        with pytest.raises(RateLimited, match="10 s") as caught:
            spend(bucket, "It")
        assert caught.value.headers == {"Retry-After": "10"}
    clock.now += 10.001
    spend(bucket, "It")


def test_without_a_rate_there_is_no_bucket() -> None:
    assert bucket_of(None, 5) is None
    assert bucket_of(0, 5) is None
    for per_s, burst, wanted in ((0.5, None, 1), (2.5, None, 3), (10, 2, 2)):
        bucket = bucket_of(per_s, burst)
        assert bucket is not None
        assert bucket.burst == wanted


def test_sites_are_apart_and_their_number_is_bounded() -> None:
    sites = SiteBuckets(1, 2)
    assert taken(sites.of("a"), 5) == 2
    assert taken(sites.of("a"), 5) == 0
    for number in range(2 * MOST_SITES):
        taken(sites.of(str(number)), 1)
        sites.of("a")
    assert len(sites) == MOST_SITES
    # Who goes on guessing is not forgotten for the many others.
    assert taken(sites.of("a"), 5) == 0


def test_limits_of_a_key_go_over_those_of_the_server() -> None:
    default = KeyLimits(5, None, 3, 2, 0)
    assert KeyLimits().over(default) == default
    own = KeyLimits(0, 9, None, 7, None)
    assert own.over(default) == KeyLimits(0, 9, 3, 7, 0)
    for wrong in (KeyLimits(-1), KeyLimits(float("nan")), KeyLimits(models=-1)):
        with pytest.raises(InvalidField):
            wrong.check()
