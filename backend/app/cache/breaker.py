"""Stops asking a server that does not answer, and asks again now and then."""

from collections import deque
from collections.abc import Callable
from time import monotonic


class CircuitBreaker:
    """Opens after `failures` in a row, or that many within `window_s`.

    Open, it lets one trial through every `open_s`; the first success closes it. A
    trial that never reports back only means that the next one comes `open_s` later.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        window_s: float = 1.0,
        open_s: float = 5.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._failures = failures
        self._window_s = window_s
        self._open_s = open_s
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=failures)
        self._in_a_row = 0
        self._trial_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self._trial_at is not None

    def allows(self) -> bool:
        """Whether to make the call; who makes it reports how it went."""
        if self._trial_at is None:
            return True
        if self._clock() < self._trial_at:
            return False
        self._trial_at = self._clock() + self._open_s
        return True

    def succeeded(self) -> None:
        self._in_a_row = 0
        if self._trial_at is not None:
            self._trial_at = None
            self._recent.clear()

    def failed(self) -> None:
        now = self._clock()
        self._recent.append(now)
        self._in_a_row += 1
        crowded = len(self._recent) == self._failures
        within = crowded and now - self._recent[0] <= self._window_s
        if self.is_open or within or self._in_a_row >= self._failures:
            self._trial_at = now + self._open_s
