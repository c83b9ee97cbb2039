"""Limits of keys, and whose versions and jobs are."""

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LIMITS = ("burst", "concurrent_jobs", "models", "stored_mb")


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("owner", sa.String(12)))
    op.add_column("api_keys", sa.Column("requests_per_s", sa.Double()))
    for name in LIMITS:
        op.add_column("api_keys", sa.Column(name, sa.Integer()))
    for table in ("versions", "jobs"):
        op.add_column(table, sa.Column("created_by", sa.String(16)))
    op.create_index("ix_versions_created_by", "versions", ["created_by"])
    op.create_index("ix_jobs_created_by_status", "jobs", ["created_by", "status"])


def downgrade() -> None:
    op.drop_index("ix_jobs_created_by_status", "jobs")
    op.drop_index("ix_versions_created_by", "versions")
    for table in ("jobs", "versions"):
        with op.batch_alter_table(table) as altered:
            altered.drop_column("created_by")
    with op.batch_alter_table("api_keys") as keys:
        for name in reversed(LIMITS):
            keys.drop_column(name)
        keys.drop_column("requests_per_s")
        keys.drop_column("owner")
