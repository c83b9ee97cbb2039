"""The steps of a file job: look, plan, score, put together."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.datasets.assembly import assemble, convert
from app.datasets.base import (
    Examined,
    FileRequest,
    Kind,
    PartSummary,
    Recipe,
    ResultFile,
    Span,
)
from app.datasets.limits import DEFAULT_LIMITS, FileLimits
from app.datasets.readers import NO_TARGET, plan_spans, reader_of
from app.enums import FileFormat
from app.kit.offload import run_checked
from app.kit.own_threads import OwnThreads
from app.observability.watch import Observer
from app.services.file_examination import Examination
from app.services.span_scoring import OnRows, SpanScoring, write_failed
from app.services.traffic import MISSED, Traffic
from app.serving.routes import Routes, VersionRecord
from app.serving.row_runs import RowRuns
from app.serving.runner import Runner


class FileScoring:
    def __init__(
        self,
        routes: Routes,
        traffic: Traffic,
        runner: Runner,
        observer: Observer,
        *,
        timeout_s: float,
        threads: OwnThreads,
        limits: FileLimits = DEFAULT_LIMITS,
    ) -> None:
        self._routes = routes
        self._traffic = traffic
        self._runner = runner
        self._observer = observer
        self._timeout_s = timeout_s
        self._threads = threads
        self._limits = limits

    async def examine(self, path: Path, kind: Kind, request: FileRequest) -> Examined:
        """Reads the head of the file only. Raises a BadRequest that lets the user mend
        the file, ModelNotFound and so on as predict does."""
        try:
            record = self._routes.resolve(request.ref)
        except MISSED:
            await self._traffic.catch_up_on_miss()
            record = self._routes.resolve(request.ref)
        runs = self._runs(record, request.outputs)
        return await Examination(record, runs, self._limits).of(path, kind, request)

    async def plan(self, source: Path, plain: Path, recipe: Recipe) -> list[Span]:
        return await run_checked(
            self._threads, plan_spans, source, plain, recipe, self._limits
        )

    async def score(
        self,
        version_id: str,
        plain: Path,
        span: Span,
        recipe: Recipe,
        part: Path,
        on_rows: OnRows,
    ) -> PartSummary:
        """Writes the part. Cancelled, or failing, it leaves nothing behind.

        Raises what may pass, with a status of 500 or more; a row that can't be scored
        is written with its reason.
        """
        record = await self._record(version_id)
        runs = self._runs(record, recipe.outputs)
        reader = reader_of(recipe, record.target, self._limits)
        scoring = SpanScoring(reader, runs, recipe, on_rows, self._threads)
        return await scoring.score(plain, span, part)

    async def fail_rows(
        self, plain: Path, span: Span, recipe: Recipe, part: Path, reason: str
    ) -> PartSummary:
        reader = reader_of(recipe, NO_TARGET, self._limits)

        return await run_checked(
            self._threads, write_failed, reader, plain, span, recipe, part, reason
        )

    async def assemble(
        self, parts: Sequence[Path], recipe: Recipe, folder: Path, stem: str
    ) -> list[ResultFile]:
        return await run_checked(self._threads, assemble, parts, recipe, folder, stem)

    def convert(
        self, parts: Sequence[Path], recipe: Recipe, to: FileFormat
    ) -> Iterator[bytes]:
        return convert(parts, recipe, to)

    def _runs(self, record: VersionRecord, outputs: tuple[str, ...] | None) -> RowRuns:
        return RowRuns(
            self._runner, self._observer, record, outputs, timeout_s=self._timeout_s
        )

    async def _record(self, version_id: str) -> VersionRecord:
        try:
            return self._routes.resolve(version_id)
        except MISSED:
            # The version may be so new that this process has not heard of it.
            await self._traffic.catch_up()
            return self._routes.resolve(version_id)
