"""What is so at the moment, as gauges that are 1, read when Prometheus asks."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Facts(Collector):
    """A gauge for each combination of labels that `read` gives."""

    def __init__(self, name: str, text: str, labels: Iterable[str]) -> None:
        self._about = (name, text)
        self._labels = tuple(labels)
        self.read: Callable[[], Iterable[tuple[str, ...]]] = tuple

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(*self._about, labels=self._labels)
        for labels in self.read():
            family.add_metric(labels, 1)
        yield family
