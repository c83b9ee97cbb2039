"""A version: one artifact under a model's name, and what is known of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.enums import VersionStatus
from app.models.alias import Alias
from app.models.base import Base, HasId, utc_now, words
from app.models.model import Model


class Version(HasId, Base):
    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("model_id", "version"),
        Index(
            "uq_versions_default",
            "is_default",
            unique=True,
            postgresql_where=text("is_default"),
            sqlite_where=text("is_default"),
        ),
        Index("ix_versions_created_at_id", "created_at", "id"),
        Index("ix_versions_digest", "digest"),
    )

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    version: Mapped[str] = mapped_column(String(50))
    status: Mapped[VersionStatus] = mapped_column(words(VersionStatus))
    description: Mapped[str | None] = mapped_column(Text)
    model_metadata: Mapped[dict[str, Any]] = mapped_column(default=dict)
    is_default: Mapped[bool] = mapped_column(default=False)
    digest: Mapped[str | None] = mapped_column(String(64))
    files: Mapped[list[dict[str, Any]] | None]
    file_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    file_hash: Mapped[str | None] = mapped_column(String(64))
    input_schema: Mapped[list[dict[str, Any]] | None]
    output_schema: Mapped[list[dict[str, Any]] | None]
    feature_names: Mapped[list[str] | None]
    validation: Mapped[dict[str, Any] | None]
    error_message: Mapped[str | None] = mapped_column(Text)
    # The key whose quotas it counts for, or the first that this one was rotated from.
    created_by: Mapped[str | None] = mapped_column(String(16), index=True)
    cache_epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(onupdate=utc_now)

    model: Mapped[Model] = relationship(lazy="raise")
    alias_rows: Mapped[list[Alias]] = relationship(
        lazy="raise", order_by=Alias.alias, viewonly=True
    )

    def __init__(self, **columns: Any) -> None:
        # One instant for both: a version is never older than its creation.
        now = utc_now()
        super().__init__(**{"created_at": now, "updated_at": now, **columns})

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def aliases(self) -> list[str]:
        return [row.alias for row in self.alias_rows]
