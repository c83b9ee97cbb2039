"""Whole files through every step of a file job, on a real model, without a server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from app.artifacts.store import Artifact, ArtifactFile, ArtifactStore
from app.codecs.base import NullPolicy
from app.datasets.base import Examined, FileRequest, PartSummary, Recipe, ResultFile
from app.datasets.kinds import kind_of
from app.datasets.limits import DEFAULT_LIMITS, FileLimits
from app.engine.admission import QueueLimits
from app.engine.batcher import Batcher
from app.engine.executor import Executor
from app.engine.pool import SessionPool
from app.enums import FileFormat, VersionStatus
from app.kit.own_threads import OwnThreads
from app.observability.metrics import Metrics
from app.observability.statistics import Statistics
from app.observability.watch import Observer
from app.services.file_scoring import FileScoring
from app.serving.routes import ModelRoutes, Routes, VersionRecord
from app.serving.runner import Runner

if TYPE_CHECKING:
    from app.services.traffic import Traffic

VERSION = "11111111-1111-4111-8111-111111111111"
ASKED = FileRequest("some")


@dataclass(frozen=True, slots=True)
class Model:
    file: bytes
    feature_names: Sequence[str] | None = None
    batchable: bool = True
    nulls: NullPolicy | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    parts: list[Path]
    summaries: list[PartSummary]
    files: list[ResultFile]


@dataclass(frozen=True, slots=True)
class Done:
    """A job that has ended."""

    examined: Examined
    steps: Steps
    result: bytes
    errors: bytes

    @property
    def recipe(self) -> Recipe:
        return self.examined.recipe

    @property
    def parts(self) -> list[Path]:
        return self.steps.parts

    @property
    def failed(self) -> int:
        return sum(summary.failed for summary in self.steps.summaries)

    def table(self) -> Any:
        """Of a result in Arrow or Parquet."""
        source = pa.BufferReader(self.result)
        if self.recipe.result_format is FileFormat.PARQUET:
            return pq.read_table(source)
        return pa.ipc.open_stream(source).read_all()


@dataclass(frozen=True, slots=True)
class Lab:
    scoring: FileScoring
    folder: Path

    def paths(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    async def examine(
        self, data: bytes, name: str, request: FileRequest = ASKED
    ) -> Examined:
        path = self.folder / "input"
        path.write_bytes(data)
        return await self.scoring.examine(path, kind_of(None, name), request)

    async def run(self, data: bytes, name: str, request: FileRequest = ASKED) -> Done:
        examined = await self.examine(data, name, request)
        steps = await self.steps(Recipe.from_json(examined.recipe.to_json()))
        paths = [self.folder / file.name for file in steps.files]
        errors = paths[1].read_bytes() if paths[1:] else b""
        return Done(examined, steps, paths[0].read_bytes(), errors)

    async def steps(self, recipe: Recipe) -> Steps:
        """Of the input that was examined."""
        source, plain = self.folder / "input", self.folder / "plain"
        plain.unlink(missing_ok=True)
        spans = await self.scoring.plan(source, plain, recipe)
        path = plain if plain.exists() else source
        parts, summaries = [], []
        for at, span in enumerate(spans):
            part, seen = self.folder / f"part-{at}", _Seen()
            summary = await self.scoring.score(VERSION, path, span, recipe, part, seen)
            assert (seen.done, seen.failed) == (summary.rows, summary.failed)
            parts.append(part)
            summaries.append(summary)
        files = await self.scoring.assemble(parts, recipe, self.folder, "result")
        return Steps(parts, summaries, files)


@dataclass(slots=True)
class _Seen:
    done: int = 0
    failed: int = 0

    def __call__(self, done: int, failed: int) -> None:
        self.done, self.failed = done, failed


class _OneFolder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prove(self, _: Artifact) -> None:
        pass

    async def open(self, _: Artifact) -> Path:
        return self._folder


@asynccontextmanager
async def lab(
    model: Model, folder: Path, limits: FileLimits = DEFAULT_LIMITS
) -> AsyncIterator[Lab]:
    store = folder / "model"
    store.mkdir(parents=True)
    (store / "model.onnx").write_bytes(model.file)
    threads = OwnThreads(2)
    pool, executor = SessionPool(), Executor(threads=1, limits=QueueLimits(count=4))
    try:
        files = cast("ArtifactStore", _OneFolder(store))
        runner = Runner(pool, executor, Batcher(executor, max_rows=1), files)
        session = await pool.load("digest", lambda: _opened(store))
        routes = Routes()
        record = _record(model, session.signature)
        routes.replace({"some": ModelRoutes("some", (record,), {})})
        observer = Observer(Metrics(version="0"), Statistics())
        traffic = cast("Traffic", None)
        yield Lab(
            FileScoring(
                routes,
                traffic,
                runner,
                observer,
                timeout_s=30,
                threads=threads,
                limits=limits,
            ),
            folder,
        )
    finally:
        await threads.close()
        await executor.close()
        await pool.close()


async def _opened(folder: Path) -> Path:
    return folder


def _record(model: Model, signature: Any) -> VersionRecord:
    return VersionRecord(
        id=VERSION,
        name="some",
        version="1.0.0",
        status=VersionStatus.READY,
        artifact=Artifact("digest", (ArtifactFile("model.onnx", 1, "digest"),)),
        feature_names=tuple(model.feature_names) if model.feature_names else None,
        signature=signature,
        deterministic=True,
        batchable=model.batchable,
        bounded_cost=True,
        cache_epoch=0,
        score=None,
        is_default=False,
        nulls=model.nulls,
    )
