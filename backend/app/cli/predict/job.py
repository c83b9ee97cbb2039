"""A job as the server tells of it."""

from dataclasses import dataclass
from typing import Any, Self

import orjson

from app.enums import JobStatus

_ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class RowReason:
    line: int
    column: str | None
    reason: str

    def __str__(self) -> str:
        where = f"line {self.line}"
        if self.column is not None:
            where += f", column {self.column}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class JobSeen:
    id: str
    status: JobStatus
    model: str
    rows_done: int
    rows_failed: int
    rows_total: int
    reasons: tuple[RowReason, ...]
    error: str | None

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @classmethod
    def of(cls, text: bytes | str) -> Self:
        job = orjson.loads(text)
        progress = job["progress"]
        return cls(
            id=job["id"],
            status=JobStatus(job["status"]),
            model=f"{job['model_name']}:{job['model_version']}",
            rows_done=progress["rows_done"],
            rows_failed=progress["rows_failed"],
            rows_total=progress["rows_total"],
            reasons=tuple(_reason(error) for error in job.get("errors") or ()),
            error=job["error_message"],
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a file would take; `sample` is its first predictions as NDJSON."""

    rows: int
    seconds: float
    result_bytes: int
    sample: bytes

    @classmethod
    def of(cls, text: bytes) -> Self:
        told = orjson.loads(text)
        return cls(
            rows=told["rows"],
            seconds=told["seconds"],
            result_bytes=told["result_bytes"],
            sample=b"".join(orjson.dumps(row) + b"\n" for row in told["sample"]),
        )


def _reason(error: dict[str, Any]) -> RowReason:
    return RowReason(error["line"], error.get("column"), error["reason"])
