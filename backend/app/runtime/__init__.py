"""The composition root: every long-lived object is chosen, made and closed here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app import __version__
from app.artifacts.job_files import JobFiles
from app.artifacts.local import LocalStore
from app.artifacts.store import ArtifactStore
from app.cache.probe import RedisProbe
from app.cache.tiered import PredictionCache
from app.config import Settings
from app.database import Database
from app.jobs.arq_doorbell import ArqDoorbell
from app.jobs.doorbell import Doorbell
from app.jobs.embedded import EmbeddedDoorbell
from app.kit.tasks import owned
from app.observability.metrics import Metrics
from app.observability.siblings import ALONE, Place
from app.observability.statistics import Statistics
from app.observability.watch import Observer
from app.runtime.caching import make_cache
from app.runtime.filing import Filing
from app.runtime.identity import Identity
from app.runtime.inference import Inference, make_inspector
from app.runtime.workers import Role, kind_of_jobs, make_job_runner
from app.services.artifact_upkeep import ArtifactUpkeep
from app.services.audit import AuditLog
from app.services.file_jobs import FileJobs
from app.services.file_process import NoteChunk
from app.services.file_scoring import FileScoring
from app.services.fleet import Fleet
from app.services.janitor import Janitor
from app.services.job_meter import JobCensus, JobMeter
from app.services.job_predictions import JobPredictions
from app.services.job_runner import JobRunner
from app.services.job_watch import JobWatch
from app.services.job_webhooks import JobWebhooks
from app.services.job_work import JobWork
from app.services.jobs import Jobs
from app.services.registry import Registry
from app.services.repository import Repository
from app.services.traffic import Traffic
from app.serving.oip_view import OipView
from app.serving.pinned import PinnedModels
from app.serving.predict import Predictor
from app.serving.routes import Routes
from app.serving.runner import Runner

MIB = 1024 * 1024


@dataclass(slots=True)
class Runtime:
    """What a process serves with."""

    settings: Settings
    metrics: Metrics
    statistics: Statistics
    fleet: Fleet
    traffic: Traffic
    database: Database
    store: ArtifactStore
    routes: Routes
    cache: PredictionCache
    runner: Runner
    predictor: Predictor
    registry: Registry
    repository: Repository
    oip: OipView
    identity: Identity
    audit: AuditLog
    jobs: Jobs
    file_jobs: FileJobs
    job_files: JobFiles
    file_scoring: FileScoring
    webhooks: JobWebhooks
    job_runner: JobRunner
    redis_probe: RedisProbe | None
    max_body_bytes: int
    inference_timeout_s: float
    stopping: bool = False

    def stop(self) -> None:
        """Takes no new work from now on; what is under way may end."""
        self.stopping = True
        self.jobs.stop_waiting()


@asynccontextmanager
async def build(
    settings: Settings,
    metrics: Metrics | None = None,
    *,
    role: Role = "api",
    place: Place = ALONE,
    tell: NoteChunk | None = None,
) -> AsyncIterator[Runtime]:
    """A running runtime; leaving the block stops and closes it in reverse order.

    The database must be at this version's schema.
    """
    metrics = metrics or Metrics(version=__version__)
    async with AsyncExitStack() as stack:
        parts = Parts(settings, metrics, stack, place=place, role=role, tell=tell)
        runtime = parts.runtime()
        await parts.traffic.refresh()
        await owned(stack, parts.traffic.follow())
        if role == "worker" or (role == "api" and not settings.redis_url):
            await owned(stack, parts.filing.webhooks.run())
        if role == "api":
            await stack.enter_async_context(parts.inspector.ready())
            await parts.identity.start(stack, parts.traffic)
            await stack.enter_async_context(parts.fleet.running())
            if place.slot == 0:
                await owned(stack, parts.janitor().run())
                census = JobCensus(parts.database, metrics)
                await owned(stack, census.run())
            await owned(stack, parts.pinned.keep_loaded())
            if not settings.redis_url:
                await stack.enter_async_context(parts.job_runner.running())
                if settings.job_process:
                    beside = parts.filing.process.running(metrics.note_chunk)
                    await stack.enter_async_context(beside)
        try:
            yield runtime
        finally:
            runtime.stop()


class Parts:
    """The parts in the order in which they need each other."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        stack: AsyncExitStack,
        *,
        place: Place,
        role: Role,
        tell: NoteChunk | None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.database = self._database(stack)
        self.store = LocalStore(settings.data_dir, on_damage=metrics.note_damage)
        self.inference = Inference(settings, metrics, self.store, stack)
        self.cache = make_cache(settings, metrics)
        stack.push_async_callback(self.cache.close)
        self.routes = Routes()
        self.statistics = Statistics()
        observer = Observer(metrics, self.statistics)
        self.runner = self.inference.runner
        self.predictor = Predictor(
            self.routes, self.cache, self.runner, observer, self.inference.limits
        )
        self.pinned = PinnedModels(self.routes, self.runner, self.inference.pool)
        metrics.watch_providers(lambda: self.runner.providers_of(self.routes.ready()))
        self.identity = Identity(settings, self.database, self.routes, metrics)
        self.traffic = self._traffic()
        self.inspector = make_inspector(settings)
        self.registry = Registry(
            self.database, self.store, self.inspector, self.traffic
        )
        self.redis_probe = self._redis_probe(stack)
        self.watch = JobWatch()
        self.job_predictions = JobPredictions(
            self.predictor, self.traffic, timeout_s=settings.inference_timeout_s
        )
        self.filing = Filing(
            settings, self.database, self.routes, self.traffic, self.runner, observer
        )
        stack.push_async_callback(self.filing.threads.close)
        self.job_runner = self._job_runner(role, tell)
        self.fleet = Fleet(place, metrics, self.statistics, self.cache, wake=self._wake)
        self.doorbell = self._doorbell()
        stack.push_async_callback(self.doorbell.close)

    def runtime(self) -> Runtime:
        settings = self.settings
        return Runtime(
            settings=settings,
            metrics=self.metrics,
            statistics=self.statistics,
            fleet=self.fleet,
            traffic=self.traffic,
            database=self.database,
            store=self.store,
            routes=self.routes,
            cache=self.cache,
            runner=self.runner,
            predictor=self.predictor,
            registry=self.registry,
            repository=self._repository(),
            oip=OipView(
                self.routes,
                self.statistics,
                server_version=__version__,
                is_loaded=self.runner.is_loaded,
            ),
            identity=self.identity,
            audit=AuditLog(self.database),
            jobs=Jobs(
                self.database,
                self.doorbell,
                self.job_predictions.check,
                self.watch,
                max_attempts=settings.job_max_attempts,
                remove_files=self.filing.files.remove,
            ),
            file_jobs=FileJobs(
                self.database,
                self.doorbell,
                self.filing.files,
                max_attempts=settings.job_max_attempts,
            ),
            job_files=self.filing.files,
            file_scoring=self.filing.scoring,
            webhooks=self.filing.webhooks,
            job_runner=self.job_runner,
            redis_probe=self.redis_probe,
            max_body_bytes=settings.max_body_mb * MIB,
            inference_timeout_s=settings.inference_timeout_s,
        )

    def _repository(self) -> Repository:
        return Repository(
            self.registry,
            self.store,
            self.routes,
            self.runner.load,
            catch_up=self.traffic.catch_up,
        )

    def janitor(self) -> Janitor:
        grace_s = self.settings.artifact_grace_s
        artifacts = ArtifactUpkeep(self.database, self.store, self.registry, grace_s)
        clean = self.filing.retention.clean
        return Janitor((self.store.sweep_staging, artifacts.clean, clean))

    def _database(self, stack: AsyncExitStack) -> Database:
        database = Database(
            self.settings.database_dsn,
            pool_size=self.settings.database_pool_size,
            timeout_s=self.settings.database_timeout_s,
        )
        stack.push_async_callback(database.close)
        return database

    @property
    def _has_redis(self) -> bool:
        return bool(self.settings.redis_url)

    def _traffic(self) -> Traffic:
        return Traffic(
            self.database,
            self.routes,
            poll_s=self.settings.registry_poll_s,
            on_gone=self.inference.pool.drop,
            on_change=self.pinned.refresh,
            beside=self.identity.load,
        )

    def _redis_probe(self, stack: AsyncExitStack) -> RedisProbe | None:
        if not self._has_redis:
            return None
        probe = RedisProbe(self.settings.redis_url)
        stack.push_async_callback(probe.close)
        return probe

    def _job_runner(self, role: Role, tell: NoteChunk | None) -> JobRunner:
        return make_job_runner(
            self.settings,
            self.database,
            JobWork(self.job_predictions.run, self.filing.work).run,
            only=kind_of_jobs(self.settings, role),
            ended=self.watch.ended,
            ring=self._ring,
            meter=JobMeter(self.metrics, tell),
            sight=self.filing.sight,
        )

    def _wake(self) -> None:
        self.job_runner.wake()
        self.filing.process.wake()

    async def _ring(self, job_id: str) -> None:
        """The bell may wake the runner, so it is made after it."""
        await self.doorbell.ring(job_id)

    def _doorbell(self) -> Doorbell:
        if self._has_redis:
            return ArqDoorbell(self.settings.redis_url)
        return EmbeddedDoorbell(
            self._wake,
            is_full=self.job_runner.is_full,
            wake_others=self.fleet.wake_others,
        )
