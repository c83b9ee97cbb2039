"""What loads models and runs them, within the limits that the settings give."""

import asyncio
from contextlib import AsyncExitStack

from app.artifacts.store import ArtifactStore
from app.config import Settings
from app.engine.admission import QueueLimits
from app.engine.batcher import Batcher
from app.engine.executor import Executor
from app.engine.inspect import Inspector
from app.engine.plan import SessionPlans
from app.engine.pool import SessionPool
from app.engine.providers import checked_providers
from app.engine.solo import SoloCopies
from app.kit.cpus import available_cpus
from app.kit.memory import budget_bytes
from app.observability.metrics import Metrics
from app.serving.limits import TimeLimits
from app.serving.runner import Runner

MIB = 1024 * 1024


class Inference:
    """Closed by `stack`, the batcher before the executor and that before the pool."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        store: ArtifactStore,
        stack: AsyncExitStack,
    ) -> None:
        threads = settings.inference_threads or available_cpus()
        self.pool = _session_pool(settings, metrics)
        stack.push_async_callback(self.pool.close)
        copies = SoloCopies(
            threads=threads, memory_bytes=settings.inference_copies_mb * MIB
        )
        stack.push_async_callback(asyncio.to_thread, copies.close)
        executor = _executor(settings, metrics, threads)
        stack.push_async_callback(executor.close)
        batcher = Batcher(executor, max_rows=settings.batch_max_rows)
        stack.push_async_callback(batcher.close)
        self.limits = TimeLimits(settings.inference_timeout_s, metrics.note_timeout)
        plans = SessionPlans(
            threads=threads,
            providers=checked_providers(settings.provider_names),
            copies=copies,
        )
        self.runner = Runner(
            self.pool, executor, batcher, store, limits=self.limits, plans=plans
        )


def _session_pool(settings: Settings, metrics: Metrics) -> SessionPool:
    budget = budget_bytes(
        settings.model_memory_budget_mb * MIB, processes=settings.workers
    )
    pool = SessionPool(memory_budget_bytes=budget, watch=metrics)
    metrics.watch_models(
        loaded=lambda: pool.models_loaded,
        memory_bytes=lambda: pool.memory_bytes,
        budget_bytes=pool.memory_budget_bytes,
    )
    return pool


def _executor(settings: Settings, metrics: Metrics, threads: int) -> Executor:
    executor = Executor(
        threads=threads,
        limits=QueueLimits(
            count=settings.inference_queue_limit,
            size_bytes=settings.inference_queue_mb * MIB,
        ),
        on_refused=metrics.note_overloaded,
    )
    metrics.watch_queue(
        depth=lambda: executor.waiting, size_bytes=lambda: executor.waiting_bytes
    )
    return executor


def make_inspector(settings: Settings) -> Inspector:
    return Inspector(
        timeout_s=settings.validation_timeout_s,
        cpu_s=settings.validation_cpu_s,
        memory_mb=settings.validation_memory_mb,
        concurrency=settings.validation_concurrency,
        spares=settings.validation_spares,
        domains=settings.allowed_domains,
        scratch=settings.data_dir / "scratch",
    )
