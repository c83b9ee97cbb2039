"""Metrics of several processes become one page."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.observability import samples
from app.observability.metrics import Metrics
from app.observability.samples import Family


@pytest.fixture
def several() -> list[Metrics]:
    return [Metrics(version="1.2.3") for _ in range(3)]


def page_of(several: list[Metrics]) -> dict[str, float]:
    taken = [
        samples.take(metrics.registry, worker=str(slot))
        for slot, metrics in enumerate(several)
    ]
    text = samples.write(samples.added(taken)).decode()
    return {
        sample.name + str(dict(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counts_and_buckets_are_added(several: list[Metrics]) -> None:
    for number, metrics in enumerate(several):
        for _ in range(number):
            metrics.cache_requests.add("m", "hit")
        metrics.note_request("/r", "GET", 200, 0.002)
    several[0].cache_requests.add("other", "hit")
    page = page_of(several)
    assert page["mlforge_cache_requests_total{'model': 'm', 'result': 'hit'}"] == 3
    assert page["mlforge_cache_requests_total{'model': 'other', 'result': 'hit'}"] == 1
    request = "'method': 'GET', 'route': '/r', 'status_class': '2xx'"
    name = "mlforge_http_request_duration_seconds"
    assert page[f"{name}_count{{{request}}}"] == 3
    assert page[f"{name}_bucket{{'le': '0.0025', {request}}}"] == 3
    assert page[f"{name}_bucket{{'le': '0.001', {request}}}"] == 0


def test_what_is_the_same_everywhere_is_told_once(several: list[Metrics]) -> None:
    several[1].cache_breaker_state.set(1)
    for metrics in several:
        metrics.worker_restarts.inc(4)
    page = page_of(several)
    assert page["mlforge_build_info{'version': '1.2.3'}"] == 1
    assert page["mlforge_cache_breaker_state{}"] == 1
    assert page["mlforge_worker_restarts_total{}"] == 4


def test_gauges_are_added(several: list[Metrics]) -> None:
    for metrics in several:
        metrics.inflight.set(2)
    assert page_of(several)["mlforge_inflight{}"] == 6


def test_what_is_of_a_process_is_labelled_by_it(several: list[Metrics]) -> None:
    page = page_of(several)
    for slot in range(3):
        assert page[f"process_max_fds{{'worker': '{slot}'}}"] > 0


def test_the_page_of_one_is_the_page_it_writes_itself() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.note_request("/r", "GET", 200, 0.002)
    metrics.cache_requests.add("m", "hit")
    taken = samples.added([samples.take(metrics.registry, worker="0")])
    ours = [family for family in taken if not family.name.startswith("process_")]
    assert samples.write(ours).decode() in metrics.render().decode()


def test_only_what_counts_on_outlives_a_process(several: list[Metrics]) -> None:
    taken = samples.take(several[0].registry, worker="0")
    kinds = {family.kind for family in samples.cumulative(taken)}
    assert kinds == {"counter", "histogram"}
    names = {family.name for family in samples.cumulative(taken)}
    assert not [name for name in names if name.startswith("process_")]


def test_a_family_that_only_one_has_is_kept() -> None:
    only = Family("mlforge_x", "Of one alone.", "gauge", [("mlforge_x", {}, 2.0)])
    assert samples.added([[], [only]]) == [only]
