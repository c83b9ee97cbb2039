"""Every Prometheus metric of one process, each named and explained here alone."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    generate_latest,
)

from app.observability.facts import Facts
from app.observability.tallies import (
    DURATION_BUCKETS_S,
    SIZE_BUCKETS,
    Spread,
    Tally,
)

_STATUS_CLASSES = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")


class Metrics:
    """The metrics of one runtime, in a registry of its own.

    Labels `model` and `version` take names that are registered; no label ever takes
    an id, a path as sent or anything else without an end.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, *, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build_info = self._gauge("build_info", "Always 1; says what runs.", "version")
        build_info.labels(version=version).set(1)
        self._service()
        self._inference()
        self._cache()
        self._pool()
        self._admission()
        self._jobs()

    def render(self) -> bytes:
        """The text of `GET /metrics`, of type `content_type`."""
        return generate_latest(self.registry)

    def note_request(self, route: str, method: str, status: int, took_s: float) -> None:
        """One answered request; `route` is the template, never the path as sent."""
        self.http_request_duration.observe(
            took_s, route, method, _STATUS_CLASSES[status // 100]
        )

    def note_rpc(self, method: str, code: str, took_s: float) -> None:
        """One ended RPC; `method` is a known one's name, or `unknown`."""
        self.rpc_duration.observe(took_s, method, code)

    def watch_providers(self, read: Callable[[], Iterable[tuple[str, ...]]]) -> None:
        """Asks what the loaded models run on (model, version, provider) whenever the
        page is read."""
        self.model_provider_info.read = read

    def watch(
        self, *, entries: Callable[[], int], size_bytes: Callable[[], int]
    ) -> None:
        """Asks the in-process cache how large it is whenever the page is read."""
        self.cache_entries.set_function(entries)
        self.cache_bytes.set_function(size_bytes)

    def note_load(self, result: str, took_s: float) -> None:
        """One ended load of a model, by result: ok, no_room or error."""
        self.model_loads.labels(result).inc()
        self.model_load_duration.observe(took_s)

    def note_eviction(self) -> None:
        self.model_evictions.inc()

    def watch_models(
        self,
        *,
        loaded: Callable[[], int],
        memory_bytes: Callable[[], int],
        budget_bytes: int | None,
    ) -> None:
        """Asks for the loaded models whenever the page is read."""
        self.models_loaded.set_function(loaded)
        self.model_memory_bytes.set_function(memory_bytes)
        self.model_memory_budget_bytes.set(
            float("inf") if budget_bytes is None else budget_bytes
        )

    def watch_queue(
        self, *, depth: Callable[[], int], size_bytes: Callable[[], int]
    ) -> None:
        """Asks the queue how long it is whenever the page is read."""
        self.queue_depth.set_function(depth)
        self.queue_bytes.set_function(size_bytes)

    def note_overloaded(self, reason: str) -> None:
        """One prediction refused; `reason` is one of the few there are."""
        self.overloaded.add(reason)

    def note_refusal(self, reason: str) -> None:
        """One call refused for its API key; `reason` is one of the few there are."""
        self.auth_failures.add(reason)

    def note_rate_limited(self, limit: str) -> None:
        self.rate_limited.add(limit)

    def note_timeout(self, whose: str) -> None:
        """One wait or run that a time limit ended: request, model or server."""
        self.inference_timeouts.add(whose)

    def note_damage(self) -> None:
        """One look at a committed model file that found it missing or changed."""
        self.artifacts_corrupt.inc()

    def note_chunk(self, rows: int, failed: int, took_s: float) -> None:
        """One chunk of a file job whose rows are in the result."""
        self.job_rows.labels("scored").inc(rows - failed)
        self.job_rows.labels("failed").inc(failed)
        self.job_chunk_duration.observe(took_s)

    def note_jobs(self, *, queued: int, running: int) -> None:
        self.jobs.labels("queued").set(queued)
        self.jobs.labels("running").set(running)

    def _service(self) -> None:
        self.http_request_duration = self._durations(
            "http_request_duration_seconds",
            "Seconds from a request's head to the end of its answer.",
            "route",
            "method",
            "status_class",
        )
        self.rpc_duration = self._durations(
            "rpc_duration_seconds",
            "Seconds from an RPC's first message to its status.",
            "method",
            "code",
        )
        self.auth_failures = self._tally(
            "auth_failures_total",
            "Calls refused: missing, malformed, unknown, expired or misplaced key, "
            "too_many from an address, forbidden.",
            "reason",
        )
        self.rate_limited = self._tally(
            "rate_limited_total",
            "Calls refused because their key had spent its requests.",
            "limit",
        )
        self.inflight = self._gauge("inflight", "Requests being answered now.")
        self.workers = self._gauge("workers", "Server processes that are ready.")
        self.workers.set(1)
        self.worker_restarts = self._counter(
            "worker_restarts_total", "Server processes that took another's place."
        )

    def _inference(self) -> None:
        self.inference_requests = self._tally(
            "inference_requests_total",
            "Predictions by outcome: ok, or the code of the error.",
            "model",
            "version",
            "outcome",
        )
        self.inference_duration = self._durations(
            "inference_duration_seconds",
            "Seconds that runs took, with their wait for a thread.",
            "model",
            "version",
        )

        self.batch_size = self._spread(
            "batch_size", "Rows of each run.", ("model", "version"), SIZE_BUCKETS
        )
        self.model_provider_info = Facts(
            "mlforge_model_provider_info",
            "1 for each execution provider that a loaded model runs on.",
            ("model", "version", "provider"),
        )
        self.registry.register(self.model_provider_info)

    def _cache(self) -> None:
        self.cache_requests = self._tally(
            "cache_requests_total",
            "Predictions by what the cache did: hit, miss or bypass.",
            "model",
            "result",
        )
        self.cache_errors = self._counter(
            "cache_errors_total",
            "Redis calls of the cache that failed, by type; each was taken as a miss.",
            "type",
        )
        self.cache_writes_dropped = self._counter(
            "cache_writes_dropped_total",
            "Predictions not written to Redis because it was away or too slow.",
        )
        self.cache_breaker_state = self._gauge(
            "cache_breaker_state", "1 while Redis is left alone after failures, else 0."
        )
        self.cache_entries = self._gauge(
            "cache_entries", "Predictions in the in-process cache."
        )
        self.cache_bytes = self._gauge(
            "cache_bytes", "Bytes that the in-process cache takes."
        )

    def _pool(self) -> None:
        self.models_loaded = self._gauge(
            "models_loaded", "Models whose sessions are in memory."
        )
        self.model_memory_bytes = self._gauge(
            "model_memory_bytes", "Bytes that loaded models are counted with."
        )
        self.model_memory_budget_bytes = self._gauge(
            "model_memory_budget_bytes", "Bytes that loaded models may take."
        )
        self.model_loads = self._counter(
            "model_loads_total",
            "Loads of models by result: ok, no_room or error.",
            "result",
        )
        self.model_evictions = self._counter(
            "model_evictions_total", "Idle models let go of to make room for others."
        )
        self.artifacts_corrupt = self._counter(
            "artifacts_corrupt_total",
            "Model files found missing or changed when they were to be used.",
        )
        self.model_load_duration = self._durations(
            "model_load_seconds", "Seconds that loads took, with their wait for room."
        )

    def _admission(self) -> None:
        self.queue_depth = self._gauge(
            "queue_depth", "Predictions that wait for a thread or for their model."
        )
        self.queue_bytes = self._gauge(
            "queue_bytes", "Bytes that the inputs of waiting predictions take."
        )
        self.overloaded = self._tally(
            "overloaded_total",
            "Predictions refused: model_queue, server_queue, queue_bytes, deadline or "
            "stuck_runs.",
            "reason",
        )
        self.inference_timeouts = self._tally(
            "inference_timeouts_total",
            "Time limits that ended something: a request's wait, or a run or a load by "
            "the model's or the server's.",
            "limit",
        )

    def _jobs(self) -> None:
        self.jobs = self._gauge(
            "jobs", "Jobs by status: queued or running, of late.", "status"
        )
        self.job_rows = self._counter(
            "job_rows_total",
            "Rows of file jobs done here, by outcome: scored or failed.",
            "outcome",
        )
        self.job_chunk_duration = self._durations(
            "job_chunk_duration_seconds", "Seconds from a chunk's claim to its commit."
        )
        self.job_retries = self._counter(
            "job_retries_total",
            "Jobs and chunks taken again after a failed or lost try.",
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"mlforge_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"mlforge_{name}", text, labels, registry=self.registry)

    def _tally(self, name: str, text: str, *labels: str) -> Tally:
        tally = Tally(f"mlforge_{name}", text, labels)
        self.registry.register(tally)
        return tally

    def _durations(self, name: str, text: str, *labels: str) -> Spread:
        return self._spread(name, text, labels, DURATION_BUCKETS_S)

    def _spread(
        self, name: str, text: str, labels: Iterable[str], bounds: tuple[float, ...]
    ) -> Spread:
        spread = Spread(f"mlforge_{name}", text, labels, bounds)
        self.registry.register(spread)
        return spread
