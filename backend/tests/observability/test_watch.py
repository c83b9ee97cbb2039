"""A prediction is counted once, where it belongs."""

import pytest

from app.engine.timing import Timing
from app.errors import ModelNotReady
from app.observability.metrics import Metrics
from app.observability.statistics import Statistics
from app.observability.watch import Observer


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1")


@pytest.fixture
def statistics() -> Statistics:
    return Statistics()


@pytest.fixture
def observer(metrics: Metrics, statistics: Statistics) -> Observer:
    return Observer(metrics, statistics)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"mlforge_{name}", labels)


def test_a_run_counts_its_rows_and_its_time(
    observer: Observer, metrics: Metrics, statistics: Statistics
) -> None:
    with observer.watching("id", "wine", "1.0.0") as watch:
        watch.decoded(8)
        watch.ran("MISS", Timing(500, 2_000_000))
    seen = statistics.of("id")
    assert (seen.inference_count, seen.execution_count) == (8, 1)
    assert (seen.success.count, seen.fail.count) == (1, 0)
    assert (seen.queue.count, seen.queue.ns) == (1, 500)
    assert (seen.compute_infer.count, seen.compute_infer.ns) == (1, 2_000_000)
    assert (seen.cache_hit.count, seen.cache_miss.count) == (0, 1)
    assert seen.batches[8].compute_infer.ns == 2_000_000
    assert seen.last_inference_ms > 0
    labels = {"model": "wine", "version": "1.0.0"}
    assert value(metrics, "inference_requests_total", **labels, outcome="ok") == 1
    assert value(metrics, "inference_duration_seconds_sum", **labels) == 0.0020005
    assert value(metrics, "cache_requests_total", model="wine", result="miss") == 1


def test_a_hit_counts_as_a_success_but_not_as_a_run(
    observer: Observer, statistics: Statistics
) -> None:
    with observer.watching("id", "wine", "1.0.0") as watch:
        watch.decoded(1)
        watch.ran("HIT", Timing())
    seen = statistics.of("id")
    assert (seen.success.count, seen.queue.count, seen.cache_hit.count) == (1, 1, 1)
    assert (seen.inference_count, seen.execution_count) == (0, 0)
    assert seen.compute_infer.count == 0
    assert seen.batches == {}


def test_an_error_counts_by_its_code(
    observer: Observer, metrics: Metrics, statistics: Statistics
) -> None:
    with pytest.raises(ModelNotReady), observer.watching("id", "wine", "1.0.0"):
        raise ModelNotReady("not yet")
    assert statistics.of("id").fail.count == 1
    assert statistics.of("id").success.count == 0
    labels = {"model": "wine", "version": "1.0.0", "outcome": "model_not_ready"}
    assert value(metrics, "inference_requests_total", **labels) == 1


def test_those_that_ran_together_count_as_one_execution(
    observer: Observer, metrics: Metrics, statistics: Statistics
) -> None:
    for leads in (True, False, False):
        with observer.watching("id", "wine", "1.0.0") as watch:
            watch.decoded(2)
            watch.ran("MISS", Timing(10, 1000, batch_rows=6, leads=leads))
    seen = statistics.of("id")
    assert (seen.inference_count, seen.execution_count) == (6, 1)
    assert list(seen.batches) == [6]
    labels = {"model": "wine", "version": "1.0.0"}
    assert value(metrics, "batch_size_count", **labels) == 1
    assert value(metrics, "batch_size_sum", **labels) == 6
    assert value(metrics, "batch_size_bucket", **labels, le="4.0") == 0
    assert value(metrics, "batch_size_bucket", **labels, le="8.0") == 1
