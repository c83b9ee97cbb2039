"""A file scored in this process, as a worker does it, chunk after chunk."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from app.api.job_form import kind_for, parse_form
from app.artifacts.store import MODEL_FILE
from app.cli.predict.display import Display
from app.cli.predict.job import Estimate, RowReason
from app.cli.predict.outcome import Exit, Stopped, status_of
from app.cli.predict.sink import opened, tell_estimate
from app.cli.predict.wanted import STANDARD, Wanted, open_input, sent_name
from app.config import Settings
from app.datasets.base import Examined, PartSummary, Recipe, Span
from app.enums import Environment, OnError
from app.errors import MLForgeError
from app.kit.refs import name_from_file
from app.migrations import migrate
from app.runtime import Runtime, build
from app.services.fields import NewVersion

_DATA: Final = ".data"
_READ_BYTES: Final = 1 << 20
_REASONS: Final = 20


async def predict_with_file(wanted: Wanted, display: Display) -> None:
    """With the model that is the file `wanted.model`; nothing of it stays."""
    model = Path(wanted.model)
    with tempfile.TemporaryDirectory(prefix="mlforge-") as folder:
        settings = _passing_settings(Path(folder))
        await migrate(settings.database_dsn)
        with _told():
            async with build(settings, role="worker") as runtime:
                display.say(f"Checking {model.name} …")
                ref = await _register(runtime, model)
                await _predict(replace(wanted, model=ref), runtime, display)


async def predict_with_registry(
    wanted: Wanted, settings: Settings, display: Display
) -> None:
    """With a model of the registry that `settings` name, prepared before."""
    with _told():
        async with build(settings, role="worker") as runtime:
            await _predict(wanted, runtime, display)


async def _predict(wanted: Wanted, runtime: Runtime, display: Display) -> None:
    with tempfile.TemporaryDirectory(prefix="mlforge-") as folder:
        work = _Work(runtime, display, Path(folder), wanted)
        if wanted.dry_run:
            tell_estimate(await work.estimate(), display)
            return
        with opened(wanted.out) as sink:
            result = await work.result()
            for block in _blocks(result):
                sink.write(block)
        work.tell()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            yield block


class _Work:
    """The stages of a file job, without a ledger: who dies here begins anew."""

    def __init__(
        self, runtime: Runtime, display: Display, folder: Path, wanted: Wanted
    ) -> None:
        self._scoring = runtime.file_scoring
        self._max_attempts = runtime.settings.job_max_attempts
        self._display = display
        self._folder = folder
        self._wanted = wanted
        self._tally = _Tally()

    async def estimate(self) -> Estimate:
        _, told = await self._examine()
        return Estimate(told.rows, told.seconds, told.result_bytes, told.sample)

    async def result(self) -> Path:
        source, examined = await self._examine()
        plain = self._folder / "plain"
        spans = await self._scoring.plan(source, plain, examined.recipe)
        parts = await self._score(examined, plain if plain.exists() else source, spans)
        files = await self._scoring.assemble(
            parts, examined.recipe, self._folder, "result"
        )
        return self._folder / files[0].name

    async def _examine(self) -> tuple[Path, Examined]:
        form = parse_form(self._wanted.fields())
        source, name = await asyncio.to_thread(_on_disk, self._wanted, self._folder)
        kind = kind_for(form, name)
        return source, await self._scoring.examine(source, kind, form.request)

    def tell(self) -> None:
        self._display.summary(
            self._tally.rows, self._tally.failed, self._tally.reasons, ""
        )

    async def _score(
        self, examined: Examined, plain: Path, spans: list[Span]
    ) -> list[Path]:
        self._display.scoring(examined.rows)
        parts = []
        for number, span in enumerate(spans):
            part = self._folder / f"part-{number}"
            summary = await self._score_span(examined, plain, span, part)
            self._tally.add(summary)
            _check_limits(self._tally, examined.recipe)
            parts.append(part)
        return parts

    async def _score_span(
        self, examined: Examined, plain: Path, span: Span, part: Path
    ) -> PartSummary:
        """What may pass is tried again; at last the rows fail for it, as in a job."""
        before = self._tally.rows

        def on_rows(done: int, failed: int) -> None:
            self._display.rows(before + done, examined.rows)

        recipe = examined.recipe
        trouble = ""
        for _ in range(self._max_attempts):
            try:
                return await self._scoring.score(
                    examined.version_id, plain, span, recipe, part, on_rows
                )
            except MLForgeError as error:
                if error.status < 500:
                    raise
                trouble = error.detail
        return await self._scoring.fail_rows(plain, span, recipe, part, trouble)


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    failed: int = 0
    reasons: tuple[RowReason, ...] = ()

    def add(self, summary: PartSummary) -> None:
        self.rows += summary.rows
        self.failed += summary.failed
        new = [RowReason(e.line, e.column, e.reason) for e in summary.errors]
        self.reasons = (*self.reasons, *new)[:_REASONS]


def _check_limits(tally: _Tally, recipe: Recipe) -> None:
    limit = 0 if recipe.on_error is OnError.FAIL else recipe.max_failed_rows
    if limit is not None and tally.failed > limit:
        first = next(iter(tally.reasons), "")
        raise Stopped(Exit.FAILED, f"{tally.failed:,} rows failed: {first}")


def _on_disk(wanted: Wanted, folder: Path) -> tuple[Path, str]:
    """The file and its name; what comes from the standard input is written down."""
    if wanted.file != STANDARD:
        return Path(wanted.file), Path(wanted.file).name
    path = folder / "input"
    with open_input(wanted) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, _READ_BYTES)
    with path.open("rb") as written:
        return path, sent_name(wanted, written.read(4))


async def _register(runtime: Runtime, model: Path) -> str:
    """Through the same checks as an upload; PyTorch's weights lie beside the file."""
    weights = model.with_name(model.name + _DATA)
    async with runtime.store.stage() as staging:
        await staging.add(MODEL_FILE, _chunks(model))
        if weights.is_file():
            await staging.add(weights.name, _chunks(weights))
        uploaded = await runtime.registry.upload_whole(
            staging, NewVersion(name_from_file(model.name))
        )
    return uploaded.row.id


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    with file:
        while block := await asyncio.to_thread(file.read, _READ_BYTES):
            yield block


def _passing_settings(folder: Path) -> Settings:
    """Those of a machine of its own, whatever the environment says of servers."""
    return Settings(
        environment=Environment.DEVELOPMENT,
        data_dir=folder,
        database_url="",
        redis_url="",
        job_webhook_hosts="",
    )


@contextmanager
def _told() -> Iterator[None]:
    """Our errors, as the command tells them."""
    try:
        yield
    except MLForgeError as error:
        raise Stopped(status_of(error.status), error.detail) from None
