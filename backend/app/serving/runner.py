"""Runs a version: checks the tensors, finds or loads its session, measures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app.cache.base import CacheStatus
from app.cache.key import cache_key
from app.codecs.base import Answer
from app.engine.admission import Demand
from app.engine.plan import SessionPlans
from app.engine.providers import short_name
from app.engine.signature import check_inputs
from app.engine.timing import Timing
from app.engine.values import weigh
from app.errors import ArtifactCorrupt, InferenceTimeout
from app.serving.limits import DEFAULT_TIME_LIMITS, Late, RunLimit, TimeLimits, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from app.artifacts.store import Artifact, ArtifactStore
    from app.cache.base import Outputs
    from app.cache.key import CacheKey
    from app.codecs.base import Asked
    from app.engine.batcher import Batcher
    from app.engine.executor import Executor
    from app.engine.plan import SessionPlan
    from app.engine.pool import SessionPool
    from app.engine.session import Execution, Session
    from app.serving.routes import VersionRecord

# What a session takes for each byte of its files where nobody has measured it, and
# what the least of them takes: too little for validation to see.
_MEMORY_PER_FILE_BYTE = 2
_SMALLEST_SESSION_BYTES = 128 * 1024


_DEFAULT_PLANS = SessionPlans()


class Runner:
    def __init__(
        self,
        pool: SessionPool,
        executor: Executor,
        batcher: Batcher,
        store: ArtifactStore,
        *,
        limits: TimeLimits = DEFAULT_TIME_LIMITS,
        plans: SessionPlans = _DEFAULT_PLANS,
    ) -> None:
        self._pool = pool
        self._executor = executor
        self._batcher = batcher
        self._store = store
        self._limits = limits
        self._plans = plans

    def prepare(
        self,
        record: VersionRecord,
        asked: Asked,
        deadline: float,
        *,
        background: bool = False,
    ) -> Run:
        """A run that has yet to be called; raises InvalidInput if it can't be.

        `background`: nobody waits for it now, so it leaves a thread to those who do.
        """
        check_inputs(record.target.signature, asked.inputs)
        return Run(self, record, asked, deadline, background=background)

    async def load(self, record: VersionRecord) -> None:
        """Has its session ready for the calls to come, and warm."""
        is_safe = record.bounded_cost
        await self._load(record, _artifact_of(record), warm_up=is_safe)

    def is_loaded(self, record: VersionRecord) -> bool:
        return self._pool.is_loaded(record.session_key)

    def execution(self, record: VersionRecord) -> Execution | None:
        """How this process runs it; None while it has not loaded it."""
        return self._pool.execution(record.session_key)

    def providers_of(
        self, records: Iterable[VersionRecord]
    ) -> Iterator[tuple[str, str, str]]:
        """Model, version and provider, of those that are loaded."""
        for record in records:
            execution = self.execution(record)
            for name in execution.providers if execution else ():
                yield record.name, record.version, short_name(name)

    async def run(
        self,
        record: VersionRecord,
        asked: Asked,
        deadline: float,
        *,
        timing: Timing | None = None,
        background: bool = False,
    ) -> Outputs:
        """`deadline` is the server's; the version's own may come earlier."""
        artifact = _artifact_of(record)
        limit = self._limits.of_run(record.settings, deadline)
        session = self._pool.loaded(record.session_key) or await self._load_in_time(
            record, artifact, asked, limit, background=background
        )
        if not record.bounded_cost:
            session.costs.distrust()
        run = self._way(record, background=background)
        try:
            with self._pool.lease(record.session_key):
                return await run(
                    session,
                    asked.inputs,
                    asked.outputs,
                    deadline=limit.at,
                    timing=timing,
                    queue_limit=record.settings.queue_limit,
                )
        except InferenceTimeout:
            self._limits.passed(limit.whose)
            raise limit.ran_past() from None

    def _way(
        self, record: VersionRecord, *, background: bool
    ) -> Callable[..., Awaitable[Outputs]]:
        if record.batchable and not background:
            return partial(self._batcher.run, batching=record.settings.batching)
        return partial(self._executor.run, background=background)

    async def _load_in_time(
        self,
        record: VersionRecord,
        artifact: Artifact,
        asked: Asked,
        limit: RunLimit,
        *,
        background: bool,
    ) -> Session:
        """For a caller who counts as waiting meanwhile. The load goes on for others
        should this one's time be up."""
        demand = Demand(weigh(asked.inputs), record.settings.queue_limit, for_load=True)
        with self._executor.admit(record.id, demand, background=background):
            try:
                # Whoever waits is better off with its own run first.
                load = self._load(record, artifact, warm_up=False)
                return await until(limit.at, load)
            except Late:
                self._limits.passed(limit.whose)
                raise limit.loaded_past() from None

    def run_now(
        self, record: VersionRecord, asked: Asked, timing: Timing
    ) -> Outputs | None:
        """The outputs of a run known to be cheap, of a session that is loaded."""
        if not record.bounded_cost:
            return None
        session = self._pool.loaded(record.session_key)
        if session is None:
            return None
        return self._executor.run_now(session, asked.inputs, asked.outputs, timing)

    async def _load(
        self, record: VersionRecord, artifact: Artifact, *, warm_up: bool
    ) -> Session:
        return await self._pool.load(
            record.session_key,
            lambda: self._store.open(artifact),
            self._plan(record, artifact),
            size_bytes=_expected_bytes(record, artifact),
            warm_up=warm_up,
        )

    def _plan(self, record: VersionRecord, artifact: Artifact) -> SessionPlan:
        wanted = record.settings
        plan = self._plans.plan(threads=wanted.threads, providers=wanted.providers)
        return replace(plan, prove=partial(self._store.prove, artifact))


class Run:
    """One run, called at most once; its times stay 0 if another's result did."""

    __slots__ = (
        "_asked",
        "_background",
        "_deadline",
        "_record",
        "_runner",
        "rows",
        "timing",
    )

    def __init__(
        self,
        runner: Runner,
        record: VersionRecord,
        asked: Asked,
        deadline: float,
        *,
        background: bool,
    ) -> None:
        self._runner = runner
        self._record = record
        self._asked = asked
        self._deadline = deadline
        self._background = background
        self.timing = Timing()
        self.rows = _rows(asked) if record.batchable else 1

    @property
    def took_ms(self) -> float:
        return round((self.timing.queue_ns + self.timing.compute_ns) / 1e6, 3)

    def cache_key(self) -> CacheKey | None:
        """None for a version whose answers differ from run to run."""
        record, asked = self._record, self._asked
        if not record.deterministic:
            return None
        return cache_key(record.id, record.cache_epoch, asked.inputs, asked.outputs)

    def answer(self, outputs: Outputs, status: CacheStatus) -> Answer:
        is_hit = status is CacheStatus.HIT
        target = self._record.target
        return Answer(target, self._asked, outputs, self.took_ms, is_hit)

    def now(self) -> Outputs | None:
        """The outputs where nothing has to be waited for; None, and nothing was run."""
        if self._background:
            return None
        return self._runner.run_now(self._record, self._asked, self.timing)

    async def __call__(self) -> Outputs:
        return await self._runner.run(
            self._record,
            self._asked,
            self._deadline,
            timing=self.timing,
            background=self._background,
        )


def _artifact_of(record: VersionRecord) -> Artifact:
    if record.artifact is None:
        raise ArtifactCorrupt(f"Version {record.id} is ready but has no file.")
    return record.artifact


def _expected_bytes(record: VersionRecord, artifact: Artifact) -> int:
    """What its session will take: what validation's process got back when it let go of
    one that had run on small inputs, else a guess."""
    measured = record.memory_bytes or _MEMORY_PER_FILE_BYTE * artifact.size_bytes
    return max(measured, _SMALLEST_SESSION_BYTES)


def _rows(asked: Asked) -> int:
    """How many rows a batch holds: the first axis of its first input."""
    first = next(iter(asked.inputs.values()), None)
    shape = getattr(first, "shape", ())
    return int(shape[0]) if shape else 1
