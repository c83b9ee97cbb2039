"""Whether a server's memory, descriptors and threads stay what they were."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psutil

TOLERANCE = 0.05
WARM_UP = 0.2  # The share of the samples that is not judged.


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    rss_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Trend:
    """The medians of the first and of the last third after the warm-up."""

    early: float
    late: float

    @property
    def change(self) -> float:
        return round(self.late / self.early - 1, 4)

    @property
    def flat(self) -> bool:
        """Nothing grew; giving back is no fault."""
        return self.change <= TOLERANCE

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "change": self.change, "flat": self.flat}


FIGURES = ("rss_mb", "descriptors", "threads")


class Watcher:
    """Of the processes that serve when it is made; children of a while don't count."""

    def __init__(self, pid: int) -> None:
        root = psutil.Process(pid)
        self._family = (root, *root.children(recursive=True))

    def sample(self, at_s: float) -> Sample:
        family = [one for one in self._family if one.is_running()]
        return Sample(
            round(at_s, 1),
            round(sum(one.memory_info().rss for one in family) / 1e6, 1),
            sum(one.num_fds() for one in family),
            sum(one.num_threads() for one in family),
        )


def trends(samples: Sequence[Sample]) -> dict[str, Trend]:
    judged = samples[int(len(samples) * WARM_UP) :]
    third = max(1, len(judged) // 3)
    return {
        figure: Trend(
            statistics.median(getattr(one, figure) for one in judged[:third]),
            statistics.median(getattr(one, figure) for one in judged[-third:]),
        )
        for figure in FIGURES
    }
