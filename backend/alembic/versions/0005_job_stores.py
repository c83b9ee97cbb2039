"""Which store holds the files of a job, and how often it could not be used."""

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("store", sa.String(36)))
    for table in ("jobs", "job_chunks"):
        tries = sa.Column(
            "store_tries", sa.Integer(), nullable=False, server_default="0"
        )
        op.add_column(table, tries)


def downgrade() -> None:
    with op.batch_alter_table("job_chunks") as chunks:
        chunks.drop_column("store_tries")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("store_tries")
        jobs.drop_column("store")
