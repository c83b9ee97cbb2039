"""Follows one prediction and counts it, in metrics and in statistics."""

import time
from types import TracebackType
from typing import Final, Protocol

from app.observability.metrics import Metrics
from app.observability.statistics import Statistics, VersionStatistics

HIT: Final = "HIT"
MISS: Final = "MISS"
_RESULTS: Final = {HIT: "hit", MISS: "miss", "BYPASS": "bypass"}


class Times(Protocol):
    """Of a run; its `compute_ns` is 0 where another's run or the cache gave the
    outputs, `batch_rows` is 0 where it ran alone, and `leads` is true of one of those
    that ran together."""

    queue_ns: int
    compute_ns: int
    batch_rows: int
    leads: bool


class Observer:
    def __init__(self, metrics: Metrics, statistics: Statistics) -> None:
        self._metrics = metrics
        self._statistics = statistics

    def watching(self, version_id: str, model: str, version: str) -> "Watch":
        return Watch(self._metrics, self._statistics.of(version_id), model, version)


class Watch:
    """A block around one prediction; its calls mark the ends of its stages.

    The block's own error, or the lack of one, is the outcome.
    """

    __slots__ = (
        "_decoded_at",
        "_labels",
        "_metrics",
        "_ran_at",
        "_rows",
        "_started_at",
        "_statistics",
        "_status",
        "_times",
    )

    def __init__(
        self,
        metrics: Metrics,
        statistics: VersionStatistics,
        model: str,
        version: str,
    ) -> None:
        self._metrics = metrics
        self._statistics = statistics
        self._labels = (model, version)
        self._rows = 1
        self._status = ""
        self._times: Times | None = None
        self._started_at = self._decoded_at = self._ran_at = time.perf_counter_ns()

    def __enter__(self) -> "Watch":
        return self

    def decoded(self, rows: int) -> None:
        self._decoded_at = time.perf_counter_ns()
        self._rows = rows

    def ran(self, cache_status: str, times: Times) -> None:
        self._ran_at = time.perf_counter_ns()
        self._status = cache_status
        self._times = times

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        ended_at = time.perf_counter_ns()
        outcome = "ok" if error is None else getattr(error, "code", "error")
        self._metrics.inference_requests.add(*self._labels, outcome)
        took_ns = ended_at - self._started_at
        if error is not None:
            self._statistics.fail.add(took_ns)
            return
        self._statistics.success.add(took_ns)
        self._statistics.last_inference_ms = time.time_ns() // 1_000_000
        self._count_cache()
        if self._times is not None and self._times.compute_ns:
            self._count_run(self._times, ended_at - self._ran_at)

    def _count_cache(self) -> None:
        model, status = self._labels[0], self._status
        self._metrics.cache_requests.add(model, _RESULTS[status])
        times = self._times
        queue_ns, compute_ns = (
            (0, 0) if times is None else (times.queue_ns, times.compute_ns)
        )
        self._statistics.queue.add(queue_ns)
        around_ns = self._ran_at - self._decoded_at - queue_ns - compute_ns
        if status == HIT:
            self._statistics.cache_hit.add(around_ns)
        elif status == MISS:
            self._statistics.cache_miss.add(around_ns)

    def _count_run(self, times: Times, output_ns: int) -> None:
        compute_ns = times.compute_ns
        took_s = (times.queue_ns + compute_ns) / 1e9
        self._metrics.inference_duration.observe(took_s, *self._labels)
        statistics = self._statistics
        statistics.inference_count += self._rows
        rows = times.batch_rows or self._rows
        if times.leads:
            statistics.execution_count += 1
            self._metrics.batch_size.observe(rows, *self._labels)
        input_ns = self._decoded_at - self._started_at
        for counts in (statistics, statistics.batch_of(rows)):
            counts.compute_input.add(input_ns)
            counts.compute_infer.add(compute_ns)
            counts.compute_output.add(output_ns)
