"""The use cases of the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import Any, Final

from app.artifacts.store import Artifact, ArtifactStore, Staging
from app.auth.actor import current_actor
from app.crud import aliases, versions
from app.crud.versions import VersionFilter
from app.database import Database
from app.engine.inspect import Inspector
from app.enums import Action, VersionStatus
from app.errors import FileNotUploaded
from app.kit.versions import version_order
from app.models.version import Version
from app.services.changes import Changes
from app.services.fields import NewVersion, VersionPatch
from app.services.metadata import metadata_with
from app.services.one_shot import OneShotUpload, Uploaded, next_of, version_exists
from app.services.quotas import hold_versions
from app.services.records import artifact_columns, artifact_of, record_of
from app.services.references import get_highest, get_model, get_named, get_version
from app.services.traffic import Traffic
from app.services.validation import Validation
from app.services.version_notes import note_alias, note_patch, note_version
from app.services.version_rules import (
    check_ready,
    check_takes_file,
    feature_names_for,
    set_default,
    set_metadata,
    set_status,
)
from app.serving.routes import VersionRecord, alias_missing, model_missing

# Several renewals of a living validation, by validation.RENEWALS.
_STALE_AFTER_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version's files, and what to call them."""

    name: str
    version: str
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class VersionPage:
    items: Sequence[Version]
    total: int


class Registry:
    """Every change is one short transaction; when a call returns, this process
    serves by it. No call holds a transaction while a file moves or is checked."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        inspector: Inspector,
        traffic: Traffic,
        *,
        stale_after_s: float = _STALE_AFTER_S,
    ) -> None:
        self._database = database
        self._store = store
        self._changes = Changes(database, traffic.refresh)
        self._stale_after = timedelta(seconds=stale_after_s)
        self._validation = Validation(
            database, self._changes, store, inspector, stale_after=self._stale_after
        )
        self._one_shot = OneShotUpload(database, self._changes, store, inspector)

    async def create(self, new: NewVersion) -> Version:
        """A pending version. Raises VersionExists."""
        async with self._changes.begin() as change:
            version = new.version or await next_of(change.db, new.name, besides=[])
            if await versions.find_named(change.db, new.name, version):
                raise version_exists(new.name, version)
            await hold_versions(change.db, 0)
            model = await change.model(new.name)
            row = Version(
                model_id=model.id,
                version=version,
                status=VersionStatus.PENDING,
                description=new.description,
                model_metadata=new.metadata,
                created_by=current_actor().owner,
            )
            row = await versions.add_version(change.db, row)
            note_version(change.db, Action.MODEL_CREATE, row)
            return row

    async def check_takes_file(self, ref: str) -> None:
        """Raises what `upload` would raise, before the file has come."""
        check_takes_file(await self.get(ref), self._stale_after)

    async def upload(self, ref: str, staging: Staging) -> Version:
        """Gives a version that is not committed a file, in place of any before."""
        await self.check_takes_file(ref)
        artifact = await self._store.commit(staging)
        async with self._changes.begin() as change:
            row = await get_version(change.db, ref)
            check_takes_file(row, self._stale_after)
            await hold_versions(change.db, artifact.size_bytes, besides=row.id)
            row.created_by = current_actor().owner or row.created_by
            for column, value in artifact_columns(artifact).items():
                setattr(row, column, value)
            row.status = VersionStatus.UPLOADED
            row.error_message = None
            change.touch(row.model)
            note_version(change.db, Action.MODEL_UPLOAD, row, sha256=row.file_hash)
            return row

    async def validate(self, ref: str) -> Version:
        """The version, now ready, or in error with `error_message`."""
        return await self._validation.run(ref)

    async def upload_whole(self, staging: Staging, new: NewVersion) -> Uploaded:
        """Create, upload and validate at once; what fails leaves nothing."""
        return await self._one_shot.run(staging, new)

    async def register(self, ref: str, data: dict[str, Any]) -> Version:
        """Merges `data` into the metadata; `feature_names` name the columns."""
        rest = {key: value for key, value in data.items() if key != "feature_names"}
        async with self._changes.begin() as change:
            row = await get_version(change.db, ref)
            if "feature_names" in data:
                row.feature_names = feature_names_for(row, data["feature_names"])
            set_metadata(row, metadata_with(row.model_metadata, rest))
            change.touch(row.model)
            note_version(change.db, Action.MODEL_REGISTER, row)
            return row

    async def list_versions(
        self, wanted: VersionFilter, *, page: int, page_size: int
    ) -> VersionPage:
        """Newest first."""
        async with self._database.reading() as db:
            items, total = await versions.page_of_versions(
                db, wanted, page=page, page_size=page_size
            )
        return VersionPage(items, total)

    async def get(self, ref: str) -> Version:
        async with self._database.reading() as db:
            return await get_version(db, ref)

    async def get_ready(self, ref: str) -> VersionRecord:
        """Raises ModelNotReady unless it is ready."""
        row = await self.get(ref)
        check_ready(row, "be called")
        return record_of(row)

    async def patch(self, ref: str, patch: VersionPatch) -> Version:
        async with self._changes.begin() as change:
            row = await get_version(change.db, ref)
            if patch.sets_description:
                row.description = patch.description
            if patch.metadata is not None:
                set_metadata(row, patch.metadata)
            if patch.status is not None:
                set_status(row, patch.status)
            if patch.is_default is not None:
                await set_default(change, row, is_default=patch.is_default)
            change.touch(row.model)
            note_patch(change.db, row, patch)
            return row

    async def delete(self, ref: str) -> None:
        """Its file goes later, once nothing refers to it."""
        async with self._changes.begin() as change:
            row = await get_version(change.db, ref)
            change.touch(row.model)
            await change.db.flush()
            await versions.delete_version(change.db, row.id)
            note_version(change.db, Action.MODEL_DELETE, row)

    async def versions_of(self, name: str) -> Sequence[Version]:
        """Highest first."""
        async with self._database.reading() as db:
            rows = await versions.versions_of(db, [name])
        if not rows:
            raise model_missing(f'no model is named "{name}"')
        return sorted(
            rows,
            key=lambda row: version_order(row.version, row.created_at, row.id),
            reverse=True,
        )

    async def latest(self, name: str, *, ready_only: bool) -> Version:
        async with self._database.reading() as db:
            model = await get_model(db, name)
            return await get_highest(db, model, ready_only=ready_only)

    async def aliases_of(self, name: str) -> Sequence[tuple[str, Version]]:
        """Each alias with what it points at, by alias."""
        async with self._database.reading() as db:
            await get_model(db, name)
            rows = await versions.versions_of(db, [name])
        pairs = [(alias, row) for row in rows for alias in row.aliases]
        return sorted(pairs, key=itemgetter(0))

    async def set_alias(self, name: str, alias: str, version: str) -> Version:
        """Points the alias at a ready version, moving it if it was elsewhere."""
        async with self._changes.begin() as change:
            row = await get_named(change.db, name, version)
            check_ready(row, f'point the alias "{alias}" at it')
            await aliases.put_alias(change.db, row.model_id, alias, row.id)
            change.touch(row.model)
            note_alias(change.db, Action.ALIAS_SET, name, alias, version=version)
            return row

    async def delete_alias(self, name: str, alias: str) -> None:
        async with self._changes.begin() as change:
            model = await get_model(change.db, name)
            if not await aliases.delete_alias(change.db, model.id, alias):
                raise alias_missing(name, alias)
            change.touch(model)
            note_alias(change.db, Action.ALIAS_DELETE, name, alias)

    async def artifact_of(self, ref: str) -> StoredVersion:
        """Raises FileNotUploaded for a version without a file."""
        row = await self.get(ref)
        artifact = artifact_of(row)
        if artifact is None:
            raise FileNotUploaded(
                f"{row.name}:{row.version} has no file yet: upload it first"
            )
        return StoredVersion(row.name, row.version, artifact)

    async def clear_cache(self, ref: str) -> str:
        """Moves the version's cache epoch on, so that nothing cached before is
        found anywhere; gives the version's id."""
        async with self._changes.begin() as change:
            row = await get_version(change.db, ref)
            row.cache_epoch += 1
            change.touch(row.model)
            note_version(change.db, Action.CACHE_CLEAR, row)
            return row.id

    async def referenced_digests(self) -> set[str]:
        """Of the files that must be kept."""
        async with self._database.reading() as db:
            return await versions.referenced_digests(db)
