"""Rows for the tests of the registry's tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.crud import models, registry_clock, versions
from app.database import Session
from app.enums import VersionStatus
from app.models.version import Version

START = datetime(2026, 11, 24, tzinfo=UTC)


async def add_row(
    db: Session, name: str, version: str, *, minute: int = 0, **columns: Any
) -> Version:
    revision = await registry_clock.tick(db)
    model = await models.ensure_model(db, name, revision=revision)
    values: dict[str, Any] = {
        "status": VersionStatus.PENDING,
        "created_at": START + timedelta(minutes=minute),
        **columns,
    }
    row = Version(model_id=model.id, version=version, **values)
    return await versions.add_version(db, row)
