"""A model: a name that versions stand under."""

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, utc_now


class Model(HasId, Base):
    """Stays when its last version goes, so that followers see it go."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(128), unique=True)
    revision: Mapped[int] = mapped_column(BigInteger, index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
