"""How much of the threads' time one lane has had, and how long its runs take."""

from typing import Final

_WEIGHT: Final = 0.3
# So many ended runs make an average that others may be turned away for.
_ENOUGH_RUNS: Final = 3


class Usage:
    """In seconds. A run going on counts for what it has taken, or for the average
    where that is more, so that what it will take is charged before it ends."""

    __slots__ = (
        "_caller_s",
        "_ended",
        "_going_on",
        "_spent_s",
        "_starts_s",
        "average_s",
    )

    def __init__(self) -> None:
        self._spent_s = 0.0
        # What a run takes, a moving average; 0 as long as none has ended.
        self.average_s = 0.0
        # The same of one caller's share of a run.
        self._caller_s = 0.0
        self._ended = self._going_on = 0
        # The instants at which the runs going on began, added up.
        self._starts_s = 0.0

    @property
    def caller_s(self) -> float | None:
        """What one caller's share of a run takes on average; None until enough runs
        have ended to rely on it."""
        return self._caller_s if self._ended >= _ENOUGH_RUNS else None

    def at(self, now: float) -> float:
        """All it has had at this instant."""
        taken_s = self._going_on * now - self._starts_s
        return self._spent_s + max(taken_s, self._going_on * self.average_s)

    def catch_up(self, to_s: float, now: float) -> None:
        """Forgets what it did not use: nobody saves time for later."""
        self._spent_s += max(to_s - self.at(now), 0.0)

    def forgive(self, beyond_s: float) -> None:
        """Forgets what its ended runs had beyond this."""
        self._spent_s = min(self._spent_s, beyond_s)

    def begin(self, now: float) -> None:
        self._going_on += 1
        self._starts_s += now

    def end(self, began: float, now: float, *, callers: int) -> None:
        """`callers` shared it: none of a run that was stopped, which does not tell what
        runs take."""
        self._going_on -= 1
        # Sums of instants are inexact: what is left of none must be nothing.
        self._starts_s = self._starts_s - began if self._going_on else 0.0
        took_s = now - began
        self._spent_s += took_s
        if callers:
            weight = _WEIGHT if self._ended else 1.0
            self.average_s += weight * (took_s - self.average_s)
            self._caller_s += weight * (took_s / callers - self._caller_s)
            self._ended += 1
