"""The audit log: one row for each change, chained by hashes, never changed again."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.chain import link
from app.models.base import Base


class AuditEntry(Base):
    """The database refuses to change or delete one."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_at", "at"),
        Index("ix_audit_log_actor", "actor"),
        Index("ix_audit_log_object", "object"),
    )

    # Without a gap, from 1.
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(16))
    via: Mapped[str | None] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(32))
    object: Mapped[str] = mapped_column(String(300))
    digest: Mapped[str | None] = mapped_column(String(64))
    result: Mapped[str] = mapped_column(String(32))
    # A JSON object, as it was hashed.
    detail: Mapped[str | None] = mapped_column(Text)
    peer: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(128))
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))

    def linked(self) -> str:
        """What its hash has to be, by what it holds."""
        return link(
            self.previous,
            [
                self.seq,
                self.at.astimezone(UTC).isoformat(timespec="microseconds"),
                self.actor,
                self.via,
                self.action,
                self.object,
                self.digest,
                self.result,
                self.detail,
                self.peer,
                self.request_id,
            ],
        )
