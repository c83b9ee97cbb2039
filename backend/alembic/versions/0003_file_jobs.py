"""File jobs: what a job is asked and gave, and the ledger of its chunks."""

from typing import Any

import sqlalchemy as sa

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        for column in _columns():
            jobs.add_column(column)
    op.create_index("uq_jobs_idempotency_key", "jobs", ["idempotency_key"], unique=True)
    op.create_index("ix_jobs_completed_at", "jobs", ["completed_at"])
    op.create_index("ix_jobs_webhook_due_at", "jobs", ["webhook_due_at"])
    _chunks()


def downgrade() -> None:
    op.drop_table("job_chunks")
    # What is older knows one kind of job.
    op.execute("DELETE FROM jobs WHERE kind = 'file'")
    op.drop_index("ix_jobs_webhook_due_at", "jobs")
    op.drop_index("ix_jobs_completed_at", "jobs")
    op.drop_index("uq_jobs_idempotency_key", "jobs")
    with op.batch_alter_table("jobs") as jobs:
        for column in _columns():
            jobs.drop_column(column.name)


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("kind", sa.String(16), nullable=False, server_default="prediction"),
        sa.Column("stage", sa.String(16)),
        sa.Column("recipe", sa.Text()),
        sa.Column("options", sa.Text()),
        sa.Column("format", sa.String(16)),
        sa.Column("result_format", sa.String(16)),
        sa.Column("input_bytes", sa.BigInteger()),
        sa.Column("input_sha256", sa.String(64)),
        sa.Column("input_name", sa.String(255)),
        sa.Column("plain", sa.String(255)),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("result_files", sa.Text()),
        sa.Column("error_sample", sa.Text()),
        sa.Column("chunks_total", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("chunks_done", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("webhook", sa.Text()),
        sa.Column("webhook_due_at", sa.Double()),
        sa.Column("webhook_tries", sa.Integer(), nullable=False, server_default="0"),
    ]


def _chunks() -> None:
    op.create_table(
        "job_chunks",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("span_start", sa.BigInteger(), nullable=False),
        sa.Column("span_end", sa.BigInteger(), nullable=False),
        sa.Column("first_line", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_until", sa.Double()),
        sa.Column("available_at", sa.Double(), nullable=False),
        sa.Column("part", sa.String(255)),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("rows_failed", sa.BigInteger(), nullable=False),
        sa.Column("inference_ms", sa.Double(), nullable=False),
        sa.Column("errors", sa.Text()),
        sa.Column("trouble", sa.Text()),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_job_chunks"),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
            name="fk_job_chunks_job_id_jobs",
            ondelete="CASCADE",
        ),
    )
    live = sa.text("status IN ('queued', 'running')")
    op.create_index(
        "ix_job_chunks_claim",
        "job_chunks",
        ["priority", "created_at", "job_id", "number"],
        postgresql_where=live,
        sqlite_where=live,
    )
    running = sa.text("status = 'running'")
    op.create_index(
        "ix_job_chunks_running",
        "job_chunks",
        ["job_id"],
        postgresql_where=running,
        sqlite_where=running,
    )
