"""What the audit log is told of versions and their aliases."""

from app.database import Session
from app.enums import Action, VersionStatus
from app.models.version import Version
from app.services.audit import OK, note
from app.services.fields import VersionPatch


def note_version(
    db: Session,
    action: Action,
    row: Version,
    *,
    result: str = OK,
    sha256: str | None = None,
    is_default: bool | None = None,
) -> None:
    note(
        db,
        action,
        f"{row.name}:{row.version}",
        digest=row.digest,
        result=result,
        id=row.id,
        sha256=sha256,
        is_default=is_default,
    )


def note_patch(db: Session, row: Version, patch: VersionPatch) -> None:
    """An entry for each kind of change that the patch makes."""
    if patch.sets_description or patch.metadata is not None:
        note_version(db, Action.MODEL_PATCH, row)
    if patch.status is VersionStatus.ARCHIVED:
        note_version(db, Action.MODEL_ARCHIVE, row)
    elif patch.status is not None:
        note_version(db, Action.MODEL_RESTORE, row)
    if patch.is_default is not None:
        note_version(db, Action.MODEL_DEFAULT, row, is_default=patch.is_default)


def note_alias(
    db: Session, action: Action, name: str, alias: str, *, version: str | None = None
) -> None:
    note(db, action, f"{name}@{alias}", version=version)
