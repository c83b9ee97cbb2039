"""A registry with all it stands on, and quick ways to fill it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.artifacts.local import LocalStore
from app.artifacts.store import MODEL_FILE
from app.crud import versions
from app.database import Database
from app.engine.inspect import Inspector
from app.engine.inspection import Inspection
from app.enums import VersionStatus
from app.models.version import Version
from app.services.fields import NewVersion
from app.services.one_shot import Uploaded
from app.services.records import artifact_columns
from app.services.registry import Registry
from app.services.traffic import Traffic
from app.serving.routes import Routes
from tests.crud.rows import add_row

INPUT = {"name": "x", "dtype": "float32", "shape": ["N", 3]}
OUTPUT = {"name": "y", "dtype": "float32", "shape": ["N", 2]}


def new_inspector() -> Inspector:
    return Inspector(timeout_s=60, cpu_s=60, memory_mb=2048, concurrency=2)


class HeldInspector(Inspector):
    """The real one, which tells that it was asked and then waits for `go`."""

    def __init__(self) -> None:
        super().__init__(timeout_s=60, cpu_s=60, memory_mb=2048, concurrency=2)
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def inspect(self, directory: Path) -> Inspection:
        self.asked.set()
        await self.go.wait()
        return await super().inspect(directory)


@dataclass(slots=True)
class Parts:
    """One process's view: two of them on one database are two processes."""

    database: Database
    store: LocalStore
    inspector: Inspector
    routes: Routes = field(default_factory=Routes)
    gone: list[str] = field(default_factory=list)
    stale_after_s: float = 3600
    traffic: Traffic = field(init=False)
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = Traffic(
            self.database, self.routes, poll_s=0.01, on_gone=self.gone.append
        )
        self.registry = Registry(
            self.database,
            self.store,
            self.inspector,
            self.traffic,
            stale_after_s=self.stale_after_s,
        )

    async def upload_whole(self, content: bytes, **new: Any) -> Uploaded:
        async with self.store.stage() as staging:
            await staging.add(MODEL_FILE, chunks_of(content))
            return await self.registry.upload_whole(
                staging, NewVersion(**{"name": "iris", **new})
            )

    async def upload(self, ref: str, content: bytes) -> Version:
        async with self.store.stage() as staging:
            await staging.add(MODEL_FILE, chunks_of(content))
            return await self.registry.upload(ref, staging)

    async def add_ready(
        self, name: str = "iris", version: str = "1.0.0", **columns: Any
    ) -> Version:
        """A ready version without a validation, which takes a second."""
        async with self.store.stage() as staging:
            await staging.add(MODEL_FILE, chunks_of(f"{name}:{version}".encode()))
            artifact = await self.store.commit(staging)
        values = {
            "status": VersionStatus.READY,
            "input_schema": [INPUT],
            "output_schema": [OUTPUT],
            **artifact_columns(artifact),
            **columns,
        }
        async with self.database.transaction() as db:
            row = await add_row(db, name, version, **values)
        await self.traffic.catch_up()
        return row

    async def all_versions(self) -> list[tuple[str, str, VersionStatus]]:
        async with self.database.reading() as db:
            rows = await versions.all_versions(db)
        return sorted((row.name, row.version, row.status) for row in rows)


async def chunks_of(content: bytes) -> AsyncIterator[bytes]:
    yield content
