"""Removes the files of versions that are gone, and tells the audit log."""

from app.artifacts.store import ArtifactStore
from app.auth.actor import JANITOR
from app.database import Database
from app.enums import Action
from app.services.audit import note
from app.services.registry import Registry


class ArtifactUpkeep:
    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        registry: Registry,
        grace_s: float,
    ) -> None:
        self._database = database
        self._store = store
        self._referenced = registry.referenced_digests
        self._grace_s = grace_s

    async def clean(self) -> None:
        """The files first: an entry without a deletion would be untrue, and each was
        told before, when its version went."""
        gone = await self._store.collect(self._referenced, grace_s=self._grace_s)
        if not gone:
            return
        async with self._database.transaction() as db:
            for digest in sorted(gone):
                note(db, Action.ARTIFACT_DELETE, digest, digest=digest, actor=JANITOR)
