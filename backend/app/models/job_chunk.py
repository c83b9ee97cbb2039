"""The ledger of a file job: a row for each run of rows that is scored by itself.

Written by the plan in one transaction; `attempt` with `lease_owner` is a chunk's
fence as it is a job's. `priority` and `created_at` are its job's.
"""

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.enums import ChunkStatus
from app.models.base import Base, words

# Literal, not bound: the planner can prove a partial index only from literals.
LIVE = text("job_chunks.status IN ('queued', 'running')")
RUNNING = text("job_chunks.status = 'running'")


class JobChunk(Base):
    __tablename__ = "job_chunks"
    __table_args__ = (
        Index(
            "ix_job_chunks_claim",
            "priority",
            "created_at",
            "job_id",
            "number",
            postgresql_where=text("status IN ('queued', 'running')"),
            sqlite_where=text("status IN ('queued', 'running')"),
        ),
        Index(
            "ix_job_chunks_running",
            "job_id",
            postgresql_where=text("status = 'running'"),
            sqlite_where=text("status = 'running'"),
        ),
    )

    job_id: Mapped[str] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    priority: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[float] = mapped_column(Double)
    span_start: Mapped[int] = mapped_column(BigInteger)
    span_end: Mapped[int] = mapped_column(BigInteger)
    first_line: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[ChunkStatus] = mapped_column(
        words(ChunkStatus), default=ChunkStatus.QUEUED
    )
    attempt: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    # Tries that the store of files ended, which are none of the few that count.
    store_tries: Mapped[int] = mapped_column(default=0, server_default="0")
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[float | None] = mapped_column(Double)
    available_at: Mapped[float] = mapped_column(Double)
    # The name of its part in the job's folder, without suffix, once it is done.
    part: Mapped[str | None] = mapped_column(String(255))
    rows_done: Mapped[int] = mapped_column(BigInteger, default=0)
    rows_failed: Mapped[int] = mapped_column(BigInteger, default=0)
    inference_ms: Mapped[float] = mapped_column(Double, default=0.0)
    # The first few failed rows, as JSON.
    errors: Mapped[str | None] = mapped_column(Text)
    # Why the last try did not end.
    trouble: Mapped[str | None] = mapped_column(Text)
