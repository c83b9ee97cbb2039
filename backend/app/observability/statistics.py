"""What each version did since this process started, as the Open Inference Protocol's
statistics extension counts it: cumulative counts and nanoseconds."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

# Callers choose how many rows they send, and every answer of statistics lists them.
MOST_BATCH_SIZES = 128


@dataclass(slots=True)
class Duration:
    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    def include(self, other: "Duration") -> None:
        self.count += other.count
        self.ns += other.ns


@dataclass(slots=True)
class BatchStatistics:
    """The runs of one batch size."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def include(self, other: "BatchStatistics") -> None:
        self.compute_input.include(other.compute_input)
        self.compute_infer.include(other.compute_infer)
        self.compute_output.include(other.compute_output)


@dataclass(slots=True)
class VersionStatistics:
    """`success` and `queue` count answers from the cache too; `compute_*`,
    `inference_count` (rows) and `execution_count` (runs) do not."""

    last_inference_ms: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    cache_hit: Duration = field(default_factory=Duration)
    cache_miss: Duration = field(default_factory=Duration)
    batches: dict[int, BatchStatistics] = field(default_factory=dict)

    def batch_of(self, rows: int) -> BatchStatistics:
        """Of so many rows; those of sizes beyond the limit are not kept."""
        found = self.batches.get(rows)
        if found is None:
            found = BatchStatistics()
            if len(self.batches) < MOST_BATCH_SIZES:
                self.batches[rows] = found
        return found

    def include(self, other: "VersionStatistics") -> None:
        """Adds what another process counted of the same version."""
        self.last_inference_ms = max(self.last_inference_ms, other.last_inference_ms)
        self.inference_count += other.inference_count
        self.execution_count += other.execution_count
        for name in _DURATIONS:
            getattr(self, name).include(getattr(other, name))
        for rows, counts in other.batches.items():
            self.batch_of(rows).include(counts)


_DURATIONS = tuple(
    one.name for one in fields(VersionStatistics) if one.default_factory is Duration
)


class Statistics:
    """By version id. Belongs to one event loop."""

    def __init__(self) -> None:
        self._versions: dict[str, VersionStatistics] = {}

    def of(self, version_id: str) -> VersionStatistics:
        found = self._versions.get(version_id)
        if found is None:
            found = self._versions[version_id] = VersionStatistics()
        return found

    def include(self, other: "Statistics") -> None:
        for version_id, counts in other._versions.items():
            self.of(version_id).include(counts)

    def plain(self) -> dict[str, Any]:
        """As values that JSON has words for; `read` takes them back."""
        return {one: asdict(counts) for one, counts in self._versions.items()}

    @classmethod
    def read(cls, said: dict[str, Any]) -> "Statistics":
        statistics = cls()
        for version_id, counts in said.items():
            statistics._versions[version_id] = _version(counts)
        return statistics


def _version(said: dict[str, Any]) -> VersionStatistics:
    durations: dict[str, Any] = {
        name: Duration(**said.pop(name)) for name in _DURATIONS
    }
    batches = {
        int(rows): BatchStatistics(
            **{name: Duration(**spent) for name, spent in counts.items()}
        )
        for rows, counts in said.pop("batches").items()
    }
    return VersionStatistics(**said, **durations, batches=batches)
