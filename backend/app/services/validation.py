"""Validation of an uploaded file, in three steps that hold no transaction
between them: claim, inspect, commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final

from app.artifacts.store import Artifact, ArtifactStore
from app.crud import versions
from app.database import Database
from app.engine.inspect import Inspector
from app.engine.inspection import Inspection
from app.enums import Action, VersionStatus
from app.errors import InvalidField, InvalidModel, MLForgeError, StateForbids
from app.models.base import utc_now
from app.models.version import Version
from app.services.changes import Changes
from app.services.metadata import check_feature_names, check_rules, printable
from app.services.records import artifact_of
from app.services.references import get_version
from app.services.version_notes import note_version
from app.services.version_rules import is_abandoned

RENEWALS: Final = 5
_OPEN: Final = (VersionStatus.UPLOADED, VersionStatus.ERROR)


class Validation:
    """`stale_after`: a validation not renewed for so long has died with its process."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        store: ArtifactStore,
        inspector: Inspector,
        *,
        stale_after: timedelta,
    ) -> None:
        self._database = database
        self._changes = changes
        self._store = store
        self._inspector = inspector
        self._stale_after = stale_after

    async def run(self, ref: str) -> Version:
        """The version, ready, or in error with what is wrong in `error_message`."""
        claimed, artifact = await self._claim(ref)
        try:
            async with self._renewed(claimed.id, artifact):
                outcome = await self._outcome(claimed, artifact)
        except BaseException:
            await self._give_back(claimed.id, artifact)
            raise
        return await self._finish(claimed.id, artifact, outcome)

    async def _claim(self, ref: str) -> tuple[Version, Artifact]:
        async with self._changes.begin() as change:
            row = await get_version(change.db, ref)
            artifact = artifact_of(row)
            if artifact is None or not self._is_open(row):
                raise _not_open(row)
            row.status = VersionStatus.VALIDATING
            row.error_message = None
            change.touch(row.model)
            return row, artifact

    def _is_open(self, row: Version) -> bool:
        return row.status in _OPEN or is_abandoned(row, self._stale_after)

    @asynccontextmanager
    async def _renewed(
        self, version_id: str, artifact: Artifact
    ) -> AsyncIterator[None]:
        """Others see that this validation lives, also while it waits for its turn."""
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew(version_id, artifact, over))
        try:
            yield
        finally:
            over.set()
            await renewing

    async def _renew(
        self, version_id: str, artifact: Artifact, over: asyncio.Event
    ) -> None:
        every_s = self._stale_after.total_seconds() / RENEWALS
        while not await _set_within(over, every_s):
            # Trouble with the database passes, or the validation fails by it too.
            with suppress(MLForgeError):
                async with self._database.transaction() as db:
                    await versions.renew_validation(db, version_id, artifact.digest)

    async def _outcome(self, row: Version, artifact: Artifact) -> dict[str, Any]:
        directory = await self._store.open(artifact)
        try:
            inspection = await self._inspector.inspect(directory)
            check_rules(row.model_metadata, inspection.signature)
        except (InvalidModel, InvalidField) as exc:
            return {
                "status": VersionStatus.ERROR,
                "error_message": printable(exc.detail),
                "updated_at": utc_now(),
            }
        return committed_columns(inspection)

    async def _give_back(self, version_id: str, artifact: Artifact) -> None:
        """The sandbox did not come to a verdict: the file is open to a new try."""
        with suppress(MLForgeError):
            outcome = {"status": VersionStatus.UPLOADED, "updated_at": utc_now()}
            await self._finish(version_id, artifact, outcome)

    async def _finish(
        self, version_id: str, artifact: Artifact, outcome: dict[str, Any]
    ) -> Version:
        async with self._changes.begin() as change:
            wrote = await versions.finish_validation(
                change.db, version_id, artifact.digest, outcome
            )
            row = await get_version(change.db, version_id)
            if not wrote and row.status is not VersionStatus.READY:
                raise StateForbids(
                    f"{row.name}:{row.version} got another file while it was being "
                    "validated: validate it again"
                )
            change.touch(row.model)
            if wrote:
                result = outcome["status"].value
                note_version(change.db, Action.MODEL_VALIDATE, row, result=result)
            return row


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
    return event.is_set()


def committed_columns(inspection: Inspection) -> dict[str, Any]:
    """The columns that make a version ready; they never change again."""
    signature = inspection.signature
    return {
        "status": VersionStatus.READY,
        "error_message": None,
        "input_schema": [spec.as_json() for spec in signature.inputs],
        "output_schema": [spec.as_json() for spec in signature.outputs],
        "feature_names": _own_feature_names(inspection),
        "validation": inspection.report,
        "updated_at": utc_now(),
    }


def _own_feature_names(inspection: Inspection) -> list[str] | None:
    """What the file says of its columns, when that fits its own input."""
    if inspection.feature_names is None:
        return None
    try:
        return check_feature_names(list(inspection.feature_names), inspection.signature)
    except InvalidField:
        return None


def _not_open(row: Version) -> StateForbids:
    what = f"{row.name}:{row.version} is {row.status.value}"
    if row.status is VersionStatus.PENDING:
        return StateForbids(f"{what}: upload its file first")
    if row.status is VersionStatus.VALIDATING:
        return StateForbids(f"{what} already: wait until that has ended")
    return StateForbids(f"{what}: it was validated, and its file never changes again")
