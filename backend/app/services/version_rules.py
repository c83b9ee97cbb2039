"""What the lifecycle and a version's own model allow to be set on it."""

from datetime import timedelta
from typing import Any, Final

from app.crud import versions
from app.enums import VersionStatus
from app.errors import ModelNotReady, StateForbids
from app.models.base import utc_now
from app.models.version import Version
from app.services.changes import Change
from app.services.metadata import check_feature_names, check_rules
from app.services.records import signature_of

COMMITTED: Final = (VersionStatus.READY, VersionStatus.ARCHIVED)
_TAKES_FILE: Final = (
    VersionStatus.PENDING,
    VersionStatus.UPLOADED,
    VersionStatus.ERROR,
)


def is_abandoned(row: Version, stale_after: timedelta) -> bool:
    """Whether its validation has died with its process: a living one renews it."""
    is_silent = utc_now() - row.updated_at > stale_after
    return row.status is VersionStatus.VALIDATING and is_silent


def check_takes_file(row: Version, stale_after: timedelta) -> None:
    if row.status in _TAKES_FILE or is_abandoned(row, stale_after):
        return
    why = "its file never changes again: upload a new version"
    if row.status is VersionStatus.VALIDATING:
        why = "wait until that has ended"
    raise StateForbids(f"{_named(row)} is {row.status.value}: {why}")


def check_ready(row: Version, purpose: str) -> None:
    if row.status is not VersionStatus.READY:
        raise ModelNotReady(
            f"{_named(row)} is {row.status.value}: it must be ready to {purpose}"
        )


def feature_names_for(row: Version, names: object) -> list[str]:
    signature = signature_of(row)
    if signature is None:
        raise StateForbids(
            f"{_named(row)} is {row.status.value}: its feature_names can be checked "
            "once it is validated, so validate it first"
        )
    return check_feature_names(names, signature)


def set_metadata(row: Version, metadata: dict[str, Any]) -> None:
    signature = signature_of(row)
    if signature is not None:
        check_rules(metadata, signature)
    row.model_metadata = metadata


def set_status(row: Version, status: VersionStatus) -> None:
    """Archives or brings back; an archived version is nobody's default."""
    if row.status not in COMMITTED or status not in COMMITTED:
        raise StateForbids(
            f"{_named(row)} is {row.status.value}: only a ready version can be "
            "archived, and only an archived one made ready again"
        )
    row.status = status
    if status is VersionStatus.ARCHIVED:
        row.is_default = False


async def set_default(change: Change, row: Version, *, is_default: bool) -> None:
    """Moves the default here, or takes it away."""
    if not is_default:
        row.is_default = False
        return
    check_ready(row, "be the default")
    before = await versions.find_default(change.db)
    if before is not None and before.id != row.id:
        before.is_default = False
        change.touch(before.model)
        await change.db.flush()  # There is never more than one, not even for a moment.
    row.is_default = True


def _named(row: Version) -> str:
    return f"{row.name}:{row.version}"
