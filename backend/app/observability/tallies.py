"""Counts of the hot path: plain numbers, shown to Prometheus when it asks.

prometheus_client's own metrics take a lock and look labels up at each count, which
costs more than running a small model. These belong to one event loop.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

# Predictions take from fractions of a millisecond to many seconds; the usual
# buckets begin at 5 ms, where most of ours have already ended.
DURATION_BUCKETS_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)  # Rows of a batch.
SIZE_BUCKETS = tuple(2.0**n for n in range(11))

Labels = tuple[str, ...]


class Tally(Collector):
    """A counter for each combination of labels."""

    def __init__(self, name: str, text: str, labels: Iterable[str]) -> None:
        self._about = (name, text)
        self._labels = tuple(labels)
        self._counts: defaultdict[Labels, int] = defaultdict(int)

    def add(self, *labels: str) -> None:
        self._counts[labels] += 1

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Spread(Collector):
    """A histogram for each combination of labels."""

    def __init__(
        self, name: str, text: str, labels: Iterable[str], bounds: tuple[float, ...]
    ) -> None:
        self._about = (name, text)
        self._labels = tuple(labels)
        self._bounds = bounds
        # Counts by bucket, not yet added up; then the sum of what was seen.
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, value: float, *labels: str) -> None:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = ([0] * (len(self._bounds) + 1), [0.0])
        counts, total = series
        counts[bisect_left(self._bounds, value)] += 1
        total[0] += value

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        names = (*map(floatToGoString, self._bounds), "+Inf")
        for labels, (counts, total) in self._series.items():
            buckets = list(zip(names, accumulate(counts), strict=True))
            family.add_metric(labels, buckets, total[0])
        yield family
