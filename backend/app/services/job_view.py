"""A job as the outside sees it: over HTTP, in events, in webhooks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from app.datasets.base import RowError
from app.enums import FileFormat, JobKind, JobStatus, Priority
from app.models.job import Job
from app.services.file_jobs import error_sample_of, progress_of
from app.services.job_options import JobOptions
from app.services.jobs import priority_of

# A file's rate over a shorter time says nothing.
_LEAST_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class ProgressView:
    """`rows_done` counts every row that was tried, failed ones too."""

    rows_done: int
    rows_total: int
    rows_failed: int
    rows_per_second: float | None
    eta_seconds: float | None


@dataclass(frozen=True, slots=True)
class ChunksView:
    total: int
    done: int


@dataclass(frozen=True, slots=True)
class JobView:
    id: str
    kind: JobKind
    model_id: str
    model_name: str
    model_version: str
    status: JobStatus
    priority: Priority
    progress: ProgressView
    cancel_requested: bool
    retries: int
    attempts: int
    queue_time_ms: float | None
    inference_time_ms: float | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    format: FileFormat | None
    result_format: FileFormat | None
    input_name: str | None
    input_bytes: int | None
    input_sha256: str | None
    options: JobOptions | None
    chunks: ChunksView | None
    errors: Sequence[RowError]

    def to_json(self) -> bytes:
        return orjson.dumps(self, option=orjson.OPT_UTC_Z)


def view_of(job: Job) -> JobView:
    is_file = job.kind is JobKind.FILE
    return JobView(
        id=job.id,
        kind=job.kind,
        model_id=job.version_id,
        model_name=job.model_name,
        model_version=job.model_version,
        status=job.status,
        priority=priority_of(job),
        progress=_progress(job),
        cancel_requested=job.cancel_requested,
        retries=job.retries,
        attempts=job.tries,
        queue_time_ms=_rounded(job.queue_time_ms),
        inference_time_ms=_rounded(job.inference_time_ms),
        error_code=job.error_code,
        error_message=job.error_message,
        created_at=datetime.fromtimestamp(job.created_at, UTC),
        started_at=_time(job.started_at),
        completed_at=_time(job.completed_at),
        format=job.format,
        result_format=job.result_format,
        input_name=job.input_name,
        input_bytes=job.input_bytes,
        input_sha256=job.input_sha256,
        options=JobOptions.from_json(job.options) if job.options else None,
        chunks=ChunksView(job.chunks_total, job.chunks_done) if is_file else None,
        errors=error_sample_of(job),
    )


def _progress(job: Job) -> ProgressView:
    seen = progress_of(job)
    seconds = _seconds(job)
    rate = seen.rows_done / seconds if seen.rows_done and seconds > 0 else None
    eta_s = (seen.rows_total - seen.rows_done) / rate if rate else None
    if job.status is JobStatus.COMPLETED:
        eta_s = 0.0
    return ProgressView(
        rows_done=seen.rows_done,
        rows_total=seen.rows_total,
        rows_failed=seen.rows_failed,
        rows_per_second=_rounded(rate),
        eta_seconds=_rounded(eta_s),
    )


def _seconds(job: Job) -> float:
    """How long the rows that are done took: a prediction's run, a file's wall time."""
    if job.kind is JobKind.PREDICTION:
        return (job.inference_time_ms or 0.0) / 1000
    if job.started_at is None:
        return 0.0
    seconds = (job.completed_at or time.time()) - job.started_at
    return seconds if seconds >= _LEAST_S else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
