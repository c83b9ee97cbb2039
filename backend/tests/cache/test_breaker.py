"""The breaker opens on failures, tries now and then, and closes on success."""

from dataclasses import dataclass

import pytest

from app.cache.breaker import CircuitBreaker


@dataclass(slots=True)
class Clock:
    now: float = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, window_s=1, open_s=5, clock=clock)


def fail(breaker: CircuitBreaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.failed()


def test_few_failures_leave_it_closed(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert breaker.allows()
    assert not breaker.is_open


def test_failures_in_a_row_open_it_however_slow(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(3):
        clock.now += 60
        breaker.failed()
    assert not breaker.allows()


def test_failures_between_successes_open_it_only_within_the_window(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(6):
        breaker.failed()
        breaker.succeeded()
        clock.now += 0.6
    assert not breaker.is_open
    clock.now += 10
    for _ in range(2):
        breaker.failed()
        breaker.succeeded()
    breaker.failed()
    assert breaker.is_open


def test_open_it_allows_one_trial_each_time(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker)
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_a_failed_trial_keeps_it_open_and_a_good_one_closes_it(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker)
    clock.now += 5
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now += 5
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.is_open


def test_a_closed_one_has_forgotten_earlier_failures(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker)
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open


def test_a_trial_that_never_reports_is_followed_by_another(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker)
    clock.now += 5
    assert breaker.allows()
    clock.now += 5
    assert breaker.allows()
