"""Metrics are named and explained in one way, and belong to one runtime."""

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.observability.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1.2.3")


def test_two_runtimes_do_not_share_their_counts(metrics: Metrics) -> None:
    other = Metrics(version="1.2.3")
    metrics.cache_writes_dropped.inc(5)
    assert metrics.registry.get_sample_value("mlforge_cache_writes_dropped_total") == 5
    assert other.registry.get_sample_value("mlforge_cache_writes_dropped_total") == 0


def test_nothing_is_put_into_the_global_registry(metrics: Metrics) -> None:
    names = prometheus_client.REGISTRY.collect()
    assert not [family for family in names if family.name.startswith("mlforge")]


def test_every_metric_is_prefixed_and_explained(metrics: Metrics) -> None:
    for family in metrics.registry.collect():
        assert family.name.startswith(("mlforge_", "process_"))
        assert len(family.documentation) > 10


def test_the_page_is_what_prometheus_reads(metrics: Metrics) -> None:
    metrics.cache_requests.add("m", "hit")
    page = metrics.render().decode()
    families = {f.name: f for f in text_string_to_metric_families(page)}
    [sample] = [
        sample
        for sample in families["mlforge_cache_requests"].samples
        if sample.name.endswith("_total")
    ]
    assert sample.labels == {"model": "m", "result": "hit"}
    assert sample.value == 1


def test_the_build_names_its_version(metrics: Metrics) -> None:
    labels = {"version": "1.2.3"}
    assert metrics.registry.get_sample_value("mlforge_build_info", labels) == 1


def test_requests_are_timed_by_route_and_class_of_status(metrics: Metrics) -> None:
    metrics.note_request("/api/v1/models/{ref}", "GET", 404, 0.5)
    labels = {
        "route": "/api/v1/models/{ref}",
        "method": "GET",
        "status_class": "4xx",
    }
    name = "mlforge_http_request_duration_seconds_sum"
    assert metrics.registry.get_sample_value(name, labels) == 0.5


def test_a_duration_counts_in_its_bucket_and_in_all_above(metrics: Metrics) -> None:
    for took_s in (0.0005, 0.003, 60.0):
        metrics.note_rpc("ModelInfer", "OK", took_s)
    name = "mlforge_rpc_duration_seconds"

    def value(suffix: str, **labels: str) -> float | None:
        labels |= {"method": "ModelInfer", "code": "OK"}
        return metrics.registry.get_sample_value(f"{name}_{suffix}", labels)

    assert value("bucket", le="0.0005") == 1
    assert value("bucket", le="0.0025") == 1
    assert value("bucket", le="0.005") == 2
    assert value("bucket", le="10.0") == 2
    assert value("bucket", le="+Inf") == value("count") == 3
    assert value("sum") == pytest.approx(60.0035)


def test_the_queue_is_looked_at_when_the_page_is_read(metrics: Metrics) -> None:
    waiting = [10, 20]
    metrics.watch_queue(depth=lambda: len(waiting), size_bytes=lambda: sum(waiting))
    value = metrics.registry.get_sample_value
    assert (value("mlforge_queue_depth"), value("mlforge_queue_bytes")) == (2, 30)
    waiting.pop()
    assert (value("mlforge_queue_depth"), value("mlforge_queue_bytes")) == (1, 10)


def test_refusals_and_time_limits_are_counted_by_what_ended_them(
    metrics: Metrics,
) -> None:
    metrics.note_overloaded("queue_bytes")
    metrics.note_timeout("model")
    value = metrics.registry.get_sample_value
    assert value("mlforge_overloaded_total", {"reason": "queue_bytes"}) == 1
    assert value("mlforge_inference_timeouts_total", {"limit": "model"}) == 1
