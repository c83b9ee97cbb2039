"""Versions, always loaded with their model's name and their aliases."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.orm import contains_eager, selectinload

from app.database import ReadSession, Session
from app.enums import VersionStatus
from app.kit.versions import version_order
from app.models.base import utc_now
from app.models.model import Model
from app.models.version import Version


@dataclass(frozen=True, slots=True)
class VersionFilter:
    name: str | None = None
    status: VersionStatus | None = None
    search: str | None = None
    # A regular expression that the model's name matches.
    names: str | None = None


@dataclass(frozen=True, slots=True)
class VersionHead:
    """As much of a version as choosing one needs."""

    id: str
    version: str
    status: VersionStatus
    created_at: datetime


async def find_version(db: ReadSession, version_id: str) -> Version | None:
    statement = _loaded().where(Version.id == version_id)
    return (await db.scalars(statement)).one_or_none()


async def find_named(db: ReadSession, name: str, version: str) -> Version | None:
    statement = _loaded().where(Model.name == name, Version.version == version)
    return (await db.scalars(statement)).one_or_none()


async def find_default(db: ReadSession) -> Version | None:
    return (await db.scalars(_loaded().where(Version.is_default))).one_or_none()


async def find_committed_digest(
    db: ReadSession, name: str, digest: str
) -> Version | None:
    """The newest ready version of `name` with that content, else an archived one."""
    statement = (
        _loaded()
        .where(Model.name == name, Version.digest == digest)
        .where(Version.status.in_((VersionStatus.READY, VersionStatus.ARCHIVED)))
        # By the letter, ready comes after archived.
        .order_by(Version.status.desc(), Version.created_at.desc(), Version.id)
        .limit(1)
    )
    return (await db.scalars(statement)).one_or_none()


async def heads_of(db: ReadSession, model_id: str) -> list[VersionHead]:
    """Every version of a model, highest first."""
    statement = select(
        Version.id, Version.version, Version.status, Version.created_at
    ).where(Version.model_id == model_id)
    heads = [VersionHead(*row) for row in await db.execute(statement)]
    heads.sort(
        key=lambda head: version_order(head.version, head.created_at, head.id),
        reverse=True,
    )
    return heads


async def versions_of(db: ReadSession, names: Collection[str]) -> Sequence[Version]:
    """Every version of the models, in no order."""
    return (await db.scalars(_loaded().where(Model.name.in_(names)))).all()


async def all_versions(db: ReadSession) -> Sequence[Version]:
    return (await db.scalars(_loaded())).all()


async def page_of_versions(
    db: ReadSession, wanted: VersionFilter, *, page: int, page_size: int
) -> tuple[Sequence[Version], int]:
    """One page, newest first, and how many there are in all."""
    conditions = list(_conditions(wanted))
    counting = select(func.count()).select_from(Version).where(*conditions)
    if (wanted.name, wanted.search, wanted.names) != (None, None, None):
        counting = counting.join(Version.model)
    total = (await db.execute(counting)).scalar_one()
    statement = (
        _loaded()
        .where(*conditions)
        .order_by(Version.created_at.desc(), Version.id.desc())
        .offset((page - 1) * page_size)
        .limit(page_size)
    )
    return (await db.scalars(statement)).all(), total


async def add_version(db: Session, row: Version) -> Version:
    db.add(row)
    await db.flush()
    await db.refresh(row, ["model", "alias_rows"])
    return row


async def delete_version(db: Session, version_id: str) -> None:
    await db.execute(delete(Version).where(Version.id == version_id))


async def renew_validation(db: Session, version_id: str, digest: str) -> None:
    """Shows that the validation of this file goes on."""
    await db.execute(
        update(Version)
        .where(Version.id == version_id, Version.digest == digest)
        .where(Version.status == VersionStatus.VALIDATING)
        .values(updated_at=utc_now())
        .execution_options(synchronize_session=False)
    )


async def finish_validation(
    db: Session, version_id: str, digest: str, values: dict[str, Any]
) -> bool:
    """Writes the result unless the version went or got another file meanwhile."""
    statement = (
        update(Version)
        .where(Version.id == version_id, Version.digest == digest)
        .where(Version.status == VersionStatus.VALIDATING)
        .values(values)
        .returning(Version.id)
    )
    return (await db.execute(statement)).first() is not None


async def referenced_digests(db: ReadSession) -> set[str]:
    statement = select(Version.digest).where(Version.digest.is_not(None)).distinct()
    return {digest for digest in await db.scalars(statement) if digest}


def _loaded() -> Select[Version]:
    return (
        select(Version)
        .join(Version.model)
        .options(contains_eager(Version.model), selectinload(Version.alias_rows))
    )


def _conditions(wanted: VersionFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.name is not None:
        conditions.append(Model.name == wanted.name)
    if wanted.names is not None:
        conditions.append(Model.name.regexp_match(wanted.names))
    if wanted.status is not None:
        conditions.append(Version.status == wanted.status)
    if wanted.search is not None:
        conditions.append(
            or_(
                Model.name.icontains(wanted.search, autoescape=True),
                Version.description.icontains(wanted.search, autoescape=True),
            )
        )
    return conditions
