"""How many rows of a model are worth running together, by what runs have taken.

Rows that wait are run together only as far as that makes each cheaper. Some models
gain from every row more, some from a few, some from none; for the same model it
depends on how large a row is.
"""

from dataclasses import dataclass, field

# Less than this share of a row's cost is not worth the wait for larger runs.
_LEAST_GAIN = 0.05
# The first run of a size also finds memory for it: it is not counted.
_UNCOUNTED, _TRUSTED = 1, 3
_WEIGHT = 0.15
# A run that the system interrupted counts as at most so many usual ones.
_LONGEST_COUNTED = 2.0
# Of so many runs one tries another size, for what is true now may change.
_EXPLORE_EVERY = 32
# How far beyond the best size it looks: each step doubles the rows.
_STEPS_AHEAD = 2


@dataclass(slots=True)
class _Cost:
    """Seconds for each byte of input, at one number of rows."""

    average: float = 0.0
    runs: int = 0

    @property
    def is_trusted(self) -> bool:
        return self.runs >= _UNCOUNTED + _TRUSTED

    def add(self, cost: float) -> None:
        self.runs += 1
        counted = self.runs - _UNCOUNTED
        if self.is_trusted:
            cost = min(cost, self.average * _LONGEST_COUNTED)
        if counted > 0:
            self.average += max(_WEIGHT, 1 / counted) * (cost - self.average)


@dataclass(slots=True)
class _Curve:
    """The costs of rows of about one size; step `n` is 2^n rows or some more."""

    steps: list[_Cost] = field(default_factory=list)
    turns: int = 0

    def at(self, step: int) -> _Cost:
        while len(self.steps) <= step:
            self.steps.append(_Cost())
        return self.steps[step]

    def best(self) -> int:
        """The smallest step that costs hardly more than the cheapest."""
        known = {
            n: cost.average for n, cost in enumerate(self.steps) if cost.is_trusted
        }
        if not known:
            return 0
        enough = min(known.values()) / (1 - _LEAST_GAIN)
        return next(step for step, cost in known.items() if cost <= enough)

    def choose(self, highest: int) -> int:
        """The step to run now, of those up to `highest`."""
        best = self.best()
        near = range(min(best + _STEPS_AHEAD, highest) + 1)
        fewest = min(near, key=lambda step: self.at(step).runs)
        if not self.at(fewest).is_trusted:
            return fewest
        self.turns += 1
        if self.turns % _EXPLORE_EVERY == 0:
            return near[self.turns // _EXPLORE_EVERY % len(near)]
        return min(best, highest)


class BatchGains:
    """Of one model. Used by one thread."""

    __slots__ = ("_curves", "is_refused")

    def __init__(self) -> None:
        # By the bits of a row's bytes: within a factor of two, a byte costs the same.
        self._curves: dict[int, _Curve] = {}
        self.is_refused = False

    def choose(self, row_bytes: int, waiting: int) -> int:
        """How many of `waiting` rows to run now, at least 1."""
        curve, highest = self._curve(row_bytes), waiting.bit_length() - 1
        step = curve.choose(highest)
        return waiting if step == highest < curve.best() else 1 << step

    def record(self, row_bytes: int, rows: int, took_s: float) -> None:
        """Of a run with others waiting: one that had the machine to itself took less."""
        cost = took_s / (rows * max(row_bytes, 1))
        self._curve(row_bytes).at(rows.bit_length() - 1).add(cost)

    def refuse(self) -> None:
        """It is never batched again."""
        self.is_refused = True

    def _curve(self, row_bytes: int) -> _Curve:
        return self._curves.setdefault(row_bytes.bit_length(), _Curve())
