"""What the stages of a file job give, and how each is written in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.crud import chunk_outcomes, job_outcomes, job_plans
from app.crud.chunk_leases import ChunkLease
from app.crud.chunk_outcomes import DoneChunk
from app.crud.job_chunks import NewChunk
from app.crud.job_leases import Lease
from app.database import Callback, Session, after_commit
from app.datasets.base import PartSummary, Recipe, ResultFile, RowError, Span
from app.enums import FileFormat, OnError
from app.models.job import Job
from app.services.file_records import errors_from_json, errors_to_json, files_to_json
from app.services.job_endings import Wrote, ends_job, ends_piece

SAMPLE_ROWS: Final = 20
INVALID_FILE: Final = "invalid_file"
# The formats whose spans tell how many rows they have.
_EXACT: Final = (FileFormat.PARQUET, FileFormat.ARROW)


@dataclass(frozen=True, slots=True)
class Planned:
    lease: Lease
    recipe: Recipe
    plain: str
    spans: Sequence[Span]

    async def write(self, db: Session) -> Wrote:
        chunks = [
            NewChunk(span.start, span.end, span.first_line, span.rows)
            for span in self.spans
        ]
        is_exact = self.recipe.kind.format in _EXACT
        rows = sum(span.rows for span in self.spans) if is_exact else None
        return await ends_piece(
            job_plans.complete(
                db, self.lease, chunks, plain=self.plain, rows_total=rows
            )
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The end of a job whose file is broken or too large: it would be so again, so
    the file is not kept."""

    lease: Lease
    message: str
    clean: Callback

    async def write(self, db: Session) -> Wrote:
        wrote = await ends_job(
            job_outcomes.fail(db, self.lease, code=INVALID_FILE, message=self.message)
        )
        if wrote is Wrote.JOB_ENDED:
            after_commit(db, self.clean)
        return wrote


@dataclass(frozen=True, slots=True)
class Scored:
    lease: ChunkLease
    recipe: Recipe
    summary: PartSummary

    async def write(self, db: Session) -> Wrote:
        """The chunk is done; its job fails with too many failed rows."""
        summary = self.summary
        done = DoneChunk(
            rows=summary.rows,
            failed=summary.failed,
            inference_ms=summary.inference_ms,
            errors=errors_to_json(summary.errors[:SAMPLE_ROWS]),
        )
        job = await chunk_outcomes.complete(db, self.lease, done)
        if job is None:
            return Wrote.NOTHING
        if summary.errors:
            await self._show_errors(db, job)
        limit = _failed_limit(self.recipe)
        if limit is None or job.rows_failed <= limit:
            return Wrote.PIECE
        message = _too_many(job, limit)
        await chunk_outcomes.end_failed(db, job, code="rows_failed", message=message)
        return Wrote.JOB_ENDED

    async def _show_errors(self, db: Session, job: Job) -> None:
        errors = [*errors_from_json(job.error_sample), *self.summary.errors]
        first = sorted(errors, key=lambda error: error.line)[:SAMPLE_ROWS]
        job.error_sample = errors_to_json(first)
        await db.flush()


@dataclass(frozen=True, slots=True)
class Finished:
    lease: Lease
    files: Sequence[ResultFile]
    clean: Callback

    async def write(self, db: Session) -> Wrote:
        after_commit(db, self.clean)
        return await ends_job(
            job_outcomes.complete_file(
                db,
                self.lease,
                files=files_to_json(self.files),
                media_type=self.files[0].media_type,
            )
        )


def _failed_limit(recipe: Recipe) -> int | None:
    return 0 if recipe.on_error is OnError.FAIL else recipe.max_failed_rows


def _too_many(job: Job, limit: int) -> str:
    allowed = f"{limit} may" if limit else "none may"
    rows = "row" if job.rows_failed == 1 else "rows"
    first = errors_from_json(job.error_sample)[0]
    return (
        f"{job.rows_failed} {rows} failed and {allowed}; the first is {_place(first)}: "
        f"{first.reason.rstrip('.')}; mend the file, or submit it with on_error=record and a "
        "higher max_failed_rows"
    )


def _place(error: RowError) -> str:
    if error.column is None:
        return f"line {error.line}"
    return f"line {error.line}, column {error.column!r}"
