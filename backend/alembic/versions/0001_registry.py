"""The registry: models, versions, aliases and the clock of changes."""

import sqlalchemy as sa

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _clock()
    _models()
    _versions()
    _aliases()


def downgrade() -> None:
    op.drop_table("aliases")
    op.drop_table("versions")
    op.drop_table("models")
    op.drop_table("registry_clock")


def _clock() -> None:
    clock = op.create_table(
        "registry_clock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registry_clock"),
    )
    op.bulk_insert(clock, [{"id": 1, "revision": 0}])


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )
    op.create_index("ix_models_revision", "models", ["revision"])


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("model_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("model_metadata", sa.JSON(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(64)),
        sa.Column("files", sa.JSON()),
        sa.Column("file_size_bytes", sa.BigInteger()),
        sa.Column("file_hash", sa.String(64)),
        sa.Column("input_schema", sa.JSON()),
        sa.Column("output_schema", sa.JSON()),
        sa.Column("feature_names", sa.JSON()),
        sa.Column("validation", sa.JSON()),
        sa.Column("error_message", sa.Text()),
        sa.Column("cache_epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_versions_model_id_models"
        ),
        sa.UniqueConstraint("model_id", "version", name="uq_versions_model_id_version"),
    )
    only_defaults = sa.text("is_default")
    op.create_index(
        "uq_versions_default",
        "versions",
        ["is_default"],
        unique=True,
        postgresql_where=only_defaults,
        sqlite_where=only_defaults,
    )
    op.create_index("ix_versions_created_at_id", "versions", ["created_at", "id"])
    op.create_index("ix_versions_digest", "versions", ["digest"])


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("model_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("alias", sa.String(128), nullable=False),
        sa.Column("version_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_aliases"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_aliases_model_id_models"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
            name="fk_aliases_version_id_versions",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("model_id", "alias", name="uq_aliases_model_id_alias"),
    )
    op.create_index("ix_aliases_version_id", "aliases", ["version_id"])
