"""An API key: who may do what. Of the key itself only a hash is kept."""

from datetime import datetime

from sqlalchemy import Double, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, utc_now


class ApiKey(Base):
    """Stays when it is revoked, so that what it did can be told."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]]
    # None: every model.
    model_pattern: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    # The id of the key that took its place.
    successor: Mapped[str | None] = mapped_column(String(12))
    # The id of the key that it was rotated from, and so on to the first; None: its own.
    owner: Mapped[str | None] = mapped_column(String(12))
    # None: the server's default; 0: no limit.
    requests_per_s: Mapped[float | None] = mapped_column(Double)
    burst: Mapped[int | None]
    concurrent_jobs: Mapped[int | None]
    models: Mapped[int | None]
    stored_mb: Mapped[int | None]
