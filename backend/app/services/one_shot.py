"""The one-shot upload: a file comes in, a ready version stands or nothing does."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from app.artifacts.store import Artifact, ArtifactStore, Staging
from app.auth.actor import current_actor
from app.crud import models, versions
from app.database import Database, ReadSession
from app.engine.inspect import Inspector
from app.engine.inspection import Inspection
from app.enums import Action
from app.errors import MLForgeError, QuotaExceeded, VersionExists
from app.kit.versions import next_version
from app.models.version import Version
from app.services.changes import Changes
from app.services.fields import NewVersion
from app.services.metadata import check_feature_names, check_rules
from app.services.quotas import check_versions, hold_versions
from app.services.records import artifact_columns
from app.services.validation import committed_columns
from app.services.version_notes import note_version
from app.services.version_rules import COMMITTED


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`created` is false where the same name and content was there before."""

    row: Version
    created: bool


class OneShotUpload:
    def __init__(
        self,
        database: Database,
        changes: Changes,
        store: ArtifactStore,
        inspector: Inspector,
    ) -> None:
        self._database = database
        self._changes = changes
        self._store = store
        self._inspector = inspector
        self._under_way: set[tuple[str, str]] = set()

    async def run(self, staging: Staging, new: NewVersion) -> Uploaded:
        """Raises VersionExists, InvalidModel, InvalidField; then nothing is kept.

        The file is durable before its row is written, and the row appears whole in
        one commit; a process killed between them leaves a file for the collector.
        """
        digest = staging.artifact().digest
        with self._reserved(new):
            async with self._database.reading() as db:
                existing = await _find_existing(db, new, digest)
                if existing is None:
                    await check_versions(db, staging.artifact().size_bytes)
            if existing is not None:
                # Sending a file again mends the stored one, should it be damaged.
                await self._store.commit(staging)
                return Uploaded(existing, created=False)
            inspection = await self._inspector.inspect(staging.directory)
            columns = _columns(new, inspection)
            artifact = await self._store.commit(staging)
            try:
                return await self._insert(new, artifact, columns)
            except (VersionExists, QuotaExceeded):
                await self._take_back(staging)
                raise

    async def _take_back(self, staging: Staging) -> None:
        """Best effort: what stays behind is the collector's."""
        with suppress(MLForgeError, OSError):
            await self._store.take_back(staging, self._referenced)

    async def _referenced(self) -> set[str]:
        async with self._database.reading() as db:
            return await versions.referenced_digests(db)

    async def _insert(
        self, new: NewVersion, artifact: Artifact, columns: dict[str, Any]
    ) -> Uploaded:
        async with self._changes.begin() as change:
            if existing := await _find_existing(change.db, new, artifact.digest):
                return Uploaded(existing, created=False)
            await hold_versions(change.db, artifact.size_bytes)
            model = await change.model(new.name)
            row = Version(
                model_id=model.id,
                version=new.version or await self._next(change.db, new.name),
                description=new.description,
                model_metadata=new.metadata,
                created_by=current_actor().owner,
                **artifact_columns(artifact),
                **columns,
            )
            row = await versions.add_version(change.db, row)
            note_version(change.db, Action.MODEL_UPLOAD, row, sha256=row.file_hash)
            return Uploaded(row, created=True)

    async def _next(self, db: ReadSession, name: str) -> str:
        reserved = [version for other, version in self._under_way if other == name]
        return await next_of(db, name, besides=reserved)

    @contextmanager
    def _reserved(self, new: NewVersion) -> Iterator[None]:
        """Refuses a second upload of a version before the first one is there."""
        if new.version is None:
            yield
            return
        place = (new.name, new.version)
        if place in self._under_way:
            raise version_exists(new.name, new.version, "is being uploaded right now")
        self._under_way.add(place)
        try:
            yield
        finally:
            self._under_way.discard(place)


def _columns(new: NewVersion, inspection: Inspection) -> dict[str, Any]:
    """Raises InvalidField where what the caller says does not fit the model."""
    check_rules(new.metadata, inspection.signature)
    columns = committed_columns(inspection)
    if new.feature_names is not None:
        names = list(new.feature_names)
        columns["feature_names"] = check_feature_names(names, inspection.signature)
    return columns


async def next_of(db: ReadSession, name: str, *, besides: list[str]) -> str:
    """The version after the highest one of `name`."""
    model = await models.find_model(db, name)
    heads = await versions.heads_of(db, model.id) if model else []
    return next_version([*(head.version for head in heads), *besides])


def version_exists(
    name: str, version: str, how: str = "exists already"
) -> VersionExists:
    return VersionExists(
        f"{name}:{version} {how}: leave the version out to get the next one, "
        "or choose another"
    )


async def _find_existing(
    db: ReadSession, new: NewVersion, digest: str
) -> Version | None:
    """The committed version with this content; raises where another has its place."""
    if new.version is None:
        return await versions.find_committed_digest(db, new.name, digest)
    row = await versions.find_named(db, new.name, new.version)
    if row is None:
        return None
    if row.digest == digest and row.status in COMMITTED:
        return row
    raise version_exists(new.name, new.version)
