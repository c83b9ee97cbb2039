"""Jobs: one row is the whole truth about work done later, but for a file's chunks.

Every instant is seconds since the epoch by the database's clock, so that the
machines that share a queue need not agree about the time.
"""

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    Uuid,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, column_property, mapped_column

from app.enums import FileFormat, JobKind, JobStage, JobStatus
from app.models.base import Base, HasId, words
from app.models.job_chunk import RUNNING, JobChunk

# Literal, not bound: the planner can prove the partial index only from literals.
LIVE = text("status IN ('queued', 'running')")


def _in_hand(rows: InstrumentedAttribute[int]) -> ColumnElement[int]:
    # A mixin's column has no name yet where the properties of a class are made.
    job_id = literal_column("jobs.id", Uuid(as_uuid=False))
    return (
        # PostgreSQL's sums are numeric.
        select(cast(func.coalesce(func.sum(rows), 0), BigInteger))
        .where(JobChunk.job_id == job_id, RUNNING)
        .scalar_subquery()
    )


class Job(HasId, Base):
    __tablename__ = "jobs"
    __table_args__ = (
        Index(
            "ix_jobs_claim",
            "priority",
            "created_at",
            postgresql_where=LIVE,
            sqlite_where=LIVE,
        ),
        Index("ix_jobs_created_at", "created_at"),
        Index("ix_jobs_status_created_at", "status", "created_at"),
        Index("ix_jobs_model_name_created_at", "model_name", "created_at"),
        Index("ix_jobs_version_id", "version_id"),
        Index("ix_jobs_completed_at", "completed_at"),
        Index("ix_jobs_created_by_status", "created_by", "status"),
        Index("ix_jobs_webhook_due_at", "webhook_due_at"),
        Index("uq_jobs_idempotency_key", "idempotency_key", unique=True),
    )

    # No foreign key: a job outlives the version that it ran on.
    version_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    model_name: Mapped[str] = mapped_column(String(128))
    model_version: Mapped[str] = mapped_column(String(50))
    kind: Mapped[JobKind] = mapped_column(words(JobKind), default=JobKind.PREDICTION)
    status: Mapped[JobStatus] = mapped_column(words(JobStatus))
    priority: Mapped[int] = mapped_column(SmallInteger)
    payload: Mapped[bytes] = mapped_column(
        LargeBinary, deferred=True, deferred_raiseload=True
    )
    result: Mapped[bytes | None] = mapped_column(
        LargeBinary, deferred=True, deferred_raiseload=True
    )
    result_media_type: Mapped[str | None] = mapped_column(String(100))

    # The fence: counts every claim and never goes down.
    attempt: Mapped[int] = mapped_column(default=0)
    # Claims that count against max_attempts since the submit or the last retry.
    tries: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[float | None] = mapped_column(Double)
    available_at: Mapped[float] = mapped_column(Double)
    cancel_requested: Mapped[bool] = mapped_column(default=False)

    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    rows_total: Mapped[int] = mapped_column(BigInteger)
    rows_done: Mapped[int] = mapped_column(BigInteger, default=0)
    rows_failed: Mapped[int] = mapped_column(BigInteger, default=0)
    retries: Mapped[int] = mapped_column(default=0)
    queue_time_ms: Mapped[float | None] = mapped_column(Double)
    inference_time_ms: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[float] = mapped_column(Double)
    started_at: Mapped[float | None] = mapped_column(Double)
    completed_at: Mapped[float | None] = mapped_column(Double)

    # Of file jobs alone. `rows_total` is an estimate until the last chunk is done.
    stage: Mapped[JobStage | None] = mapped_column(words(JobStage))
    recipe: Mapped[str | None] = mapped_column(
        Text, deferred=True, deferred_raiseload=True
    )
    # Of the recipe, what callers chose.
    options: Mapped[str | None] = mapped_column(Text)
    format: Mapped[FileFormat | None] = mapped_column(words(FileFormat))
    result_format: Mapped[FileFormat | None] = mapped_column(words(FileFormat))
    input_bytes: Mapped[int | None] = mapped_column(BigInteger)
    input_sha256: Mapped[str | None] = mapped_column(String(64))
    input_name: Mapped[str | None] = mapped_column(String(255))
    # Of the files that a worker has to see; None of jobs older than this column.
    store: Mapped[str | None] = mapped_column(String(36))
    store_tries: Mapped[int] = mapped_column(default=0, server_default="0")
    # The name of what the chunks are cut from: the input, or what was unpacked of it.
    plain: Mapped[str | None] = mapped_column(String(255))
    result_files: Mapped[str | None] = mapped_column(Text)
    error_sample: Mapped[str | None] = mapped_column(Text)
    chunks_total: Mapped[int] = mapped_column(default=0)
    chunks_done: Mapped[int] = mapped_column(default=0)

    # The key whose quotas it counts for, or the first that this one was rotated from.
    created_by: Mapped[str | None] = mapped_column(String(16))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    webhook: Mapped[str | None] = mapped_column(Text)
    webhook_due_at: Mapped[float | None] = mapped_column(Double)
    webhook_tries: Mapped[int] = mapped_column(default=0)

    # Of the chunks that workers have in hand; their end moves them to the row's own.
    rows_done_in_hand: Mapped[int] = column_property(_in_hand(JobChunk.rows_done))
    rows_failed_in_hand: Mapped[int] = column_property(_in_hand(JobChunk.rows_failed))
