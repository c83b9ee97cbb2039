"""Prometheus metrics as plain values: taken from a registry, added up, written."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

Labels = dict[str, str]
Sample = tuple[str, Labels, float]

_OF_A_PROCESS: Final = "process_"
# Each process tells the same, or the trouble of one is the trouble.
_SAME_EVERYWHERE: Final = frozenset(
    {
        "mlforge_cache_breaker_state",
        "mlforge_workers",
        "mlforge_worker_restarts",
    }
)
_CUMULATIVE: Final = frozenset({"counter", "histogram", "summary"})


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    text: str
    kind: str
    samples: list[Sample]


def take(registry: CollectorRegistry, *, worker: str) -> list[Family]:
    """All that the registry holds; what is of the process is labelled by `worker`."""
    return [_family(metric, worker) for metric in registry.collect()]


def read(said: Iterable[dict[str, Any]]) -> list[Family]:
    return [Family(**one) for one in said]


def cumulative(families: Iterable[Family]) -> list[Family]:
    """What counts on after its process has ended."""
    return [
        family
        for family in families
        if family.kind in _CUMULATIVE and not family.name.startswith(_OF_A_PROCESS)
    ]


def added(several: Iterable[Sequence[Family]]) -> list[Family]:
    """Each sample once: the sum, where a sum means something."""
    heads: dict[str, Family] = {}
    values: dict[str, dict[Any, tuple[Labels, float]]] = {}
    for families in several:
        for family in families:
            heads.setdefault(family.name, family)
            _add(values.setdefault(family.name, {}), family)
    return [
        Family(
            head.name,
            head.text,
            head.kind,
            [(key[0], labels, value) for key, (labels, value) in values[name].items()],
        )
        for name, head in heads.items()
    ]


def write(families: Iterable[Family]) -> bytes:
    """The text that Prometheus reads."""
    page: bytes = generate_latest(_Page(families))
    return page


class _Page:
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.text, family.kind)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric


def _family(metric: Metric, worker: str) -> Family:
    more = {"worker": worker} if metric.name.startswith(_OF_A_PROCESS) else {}
    samples = [(one.name, one.labels | more, one.value) for one in metric.samples]
    return Family(metric.name, metric.documentation, metric.type, samples)


def _add(values: dict[Any, tuple[Labels, float]], family: Family) -> None:
    for name, labels, value in family.samples:
        key = (name, *sorted(labels.items()))
        before = values.get(key)
        total = value if before is None else _rule(family, name)((before[1], value))
        values[key] = (labels, total)


def _rule(family: Family, sample: str) -> Callable[[tuple[float, float]], float]:
    if sample.endswith("_created"):
        return min
    if family.name in _SAME_EVERYWHERE or family.name.endswith("_info"):
        return max
    return sum
