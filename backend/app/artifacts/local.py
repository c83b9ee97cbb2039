"""Artifacts as folders on a local disk, shared by any number of processes."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from app.artifacts.claims import Claim, sweep
from app.artifacts.collecting import collect
from app.artifacts.disk import (
    full_disk_is_told,
    in_thread,
    remove_tree,
    sync_directory,
    sync_file,
)
from app.artifacts.layout import Layout
from app.artifacts.proof import Proofs, find_damage
from app.artifacts.staging import LocalStaging
from app.artifacts.store import Artifact, Staging
from app.errors import ArtifactCorrupt


class LocalStore:
    """`on_damage` is called for each artifact that is found missing or changed."""

    def __init__(
        self, data_dir: Path, *, on_damage: Callable[[], None] | None = None
    ) -> None:
        self._on_damage = on_damage
        self._layout = Layout(data_dir)
        self._proofs = Proofs()

    def stage(self) -> LocalStaging:
        return LocalStaging(self._layout.staging)

    async def commit(self, staging: Staging) -> Artifact:
        artifact = staging.artifact()
        staging.placed_ns = await in_thread(
            lambda: self._commit(staging.directory, artifact)
        )
        return artifact

    async def take_back(
        self, staging: Staging, referenced: Callable[[], Awaitable[set[str]]]
    ) -> None:
        placed_ns = staging.placed_ns
        if placed_ns is None:
            return
        digest = staging.artifact().digest
        if digest not in await referenced():
            await in_thread(lambda: self._take_back(digest, placed_ns))

    async def open(self, artifact: Artifact) -> Path:
        await in_thread(lambda: self.prove(artifact))
        return self._layout.place(artifact.digest)

    def prove(self, artifact: Artifact) -> None:
        damage = find_damage(self._layout.place(artifact.digest), artifact)
        if damage:
            raise self._corrupt(artifact, damage)

    async def path(self, artifact: Artifact, name: str) -> Path:
        file = artifact.get(name)
        place = self._layout.place(artifact.digest)
        damage = await in_thread(lambda: self._proofs.find_damage(place, file))
        if damage:
            raise self._corrupt(artifact, damage)
        return place / file.name

    async def collect(
        self, referenced: Callable[[], Awaitable[set[str]]], *, grace_s: float
    ) -> set[str]:
        return await collect(self._layout, referenced, grace_s)

    async def sweep_staging(self) -> int:
        return await in_thread(lambda: sweep(self._layout.staging))

    def _commit(self, staged: Path, artifact: Artifact) -> int | None:
        with full_disk_is_told():
            _make_durable(staged, artifact)
            with self._layout.locked(artifact.digest) as place:
                placed_ns = self._put_in_place(staged, artifact, place)
                sync_directory(place.parent)
        return placed_ns

    def _put_in_place(
        self, staged: Path, artifact: Artifact, place: Path
    ) -> int | None:
        """When the new folder is from; None where one was there before."""
        if place.exists() or place.is_symlink():
            if find_damage(place, artifact) is None:
                os.utime(place)
                remove_tree(staged)
                return None
            self._discard(place)
        staged.rename(place)
        return place.stat().st_mtime_ns

    def _take_back(self, digest: str, placed_ns: int) -> None:
        """A commit of the same content since has renewed the folder: it stays."""
        with self._layout.locked(digest) as place, suppress(FileNotFoundError):
            if place.stat().st_mtime_ns == placed_ns:
                self._discard(place)

    def _discard(self, place: Path) -> None:
        """One rename takes it away, so no reader meets a folder half removed."""
        claim = Claim.new(self._layout.staging)
        try:
            place.rename(claim.directory)
        finally:
            claim.release()

    def _corrupt(self, artifact: Artifact, damage: str) -> ArtifactCorrupt:
        structlog.get_logger().error(
            "artifact_corrupt", digest=artifact.digest, damage=damage
        )
        if self._on_damage is not None:
            self._on_damage()
        return ArtifactCorrupt(
            "A file of this model version is missing or changed on the server, so it is "
            "not used: upload the same file again or restore it from a backup."
        )


def _make_durable(staged: Path, artifact: Artifact) -> None:
    for file in artifact.files:
        (staged / file.name).chmod(0o440)
        sync_file(staged / file.name)
    # A long upload is no reason for an early collection.
    os.utime(staged)
    sync_directory(staged)
