"""The three stages of a file job, each as a worker does it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from app.artifacts.job_files import INPUT, PARTS, JobFiles
from app.crud import job_chunks
from app.crud.chunk_leases import ClaimedChunk
from app.crud.job_chunks import ScoredJob
from app.crud.job_leases import Claimed
from app.database import Database
from app.datasets.base import PartSummary, Recipe, ResultFile, Span
from app.errors import BadRequest, PayloadTooLarge
from app.services.file_endings import Finished, Planned, Scored, Unreadable
from app.services.job_endings import Ending, Failed
from app.services.job_hand import Hand


class Scoring(Protocol):
    """What is done with the rows; each call ends within a second of its
    cancellation."""

    async def plan(self, source: Path, plain: Path, recipe: Recipe) -> list[Span]: ...

    async def score(
        self,
        version_id: str,
        plain: Path,
        span: Span,
        recipe: Recipe,
        part: Path,
        on_rows: Callable[[int, int], None],
    ) -> PartSummary: ...

    async def fail_rows(
        self, plain: Path, span: Span, recipe: Recipe, part: Path, reason: str
    ) -> PartSummary: ...

    async def assemble(
        self, parts: Sequence[Path], recipe: Recipe, folder: Path, stem: str
    ) -> list[ResultFile]: ...


class FileWork:
    """Every file it writes has a name that no other attempt has, so what a dead or
    frozen worker left or goes on writing meets nothing of ours."""

    def __init__(self, database: Database, scoring: Scoring, files: JobFiles) -> None:
        self._database = database
        self._scoring = scoring
        self._files = files

    async def plan(self, claimed: Claimed) -> Ending:
        recipe = Recipe.from_json(claimed.recipe or "")
        job_id = claimed.lease.job_id
        source = self._files.input(job_id)
        plain = self._files.folder(job_id) / f"plain-{claimed.lease.stem}"
        try:
            spans = await self._scoring.plan(source, plain, recipe)
        except (BadRequest, PayloadTooLarge) as error:
            clean = partial(self._files.discard, job_id, [INPUT])
            return Unreadable(claimed.lease, error.detail, clean)
        name = await self._files.keep_plain(plain)
        return Planned(claimed.lease, recipe, name, spans)

    async def score(self, hand: Hand, chunk: ClaimedChunk) -> Ending:
        if chunk.tries > 2 * chunk.max_attempts:
            return _given_up(chunk)
        recipe = Recipe.from_json(chunk.recipe)
        job_id = chunk.lease.job_id
        plain = self._files.folder(job_id) / chunk.plain
        part = self._files.part(job_id, chunk.lease.part)
        span = Span(chunk.start, chunk.end, chunk.first_line, chunk.rows)
        if chunk.tries > chunk.max_attempts:
            summary = await self._scoring.fail_rows(
                plain, span, recipe, part, _reason(chunk)
            )
        else:
            summary = await self._scoring.score(
                chunk.version_id, plain, span, recipe, part, hand.note_rows
            )
        await self._files.keep_part(part)
        return Scored(chunk.lease, recipe, summary)

    async def finish(self, claimed: Claimed) -> Ending:
        recipe = Recipe.from_json(claimed.recipe or "")
        job_id = claimed.lease.job_id
        async with self._database.reading() as db:
            scored = await job_chunks.find_scored(db, job_id)
        # Listed before the end: a retry after it may write new parts at once.
        superseded = [
            name
            for name in await self._files.names(job_id)
            if not _is_needed(name, scored)
        ]
        parts = [self._files.part(job_id, name) for name in scored.parts]
        folder = self._files.folder(job_id)
        stem = f"result-{claimed.lease.stem}"
        files = await self._scoring.assemble(parts, recipe, folder, stem)
        clean = partial(self._files.discard, job_id, superseded)
        return Finished(claimed.lease, files, clean)


def _is_needed(name: str, scored: ScoredJob) -> bool:
    """The input always, what was unpacked of it only for a retry of failed rows."""
    if name == INPUT:
        return True
    if name.startswith(f"{PARTS}/"):
        return name.removeprefix(f"{PARTS}/").split(".")[0] in scored.parts
    return scored.rows_failed > 0 and name == scored.plain


def _given_up(chunk: ClaimedChunk) -> Failed:
    """Where even writing its rows as failed kills the worker."""
    return Failed(
        chunk.lease,
        "worker_died",
        f"the worker died {chunk.tries - 1} times at the rows from line "
        f"{chunk.first_line} on",
    )


def _reason(chunk: ClaimedChunk) -> str:
    return chunk.trouble or (
        f"the worker died {chunk.max_attempts} times while it scored the rows around "
        "this one"
    )
