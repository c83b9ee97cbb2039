"""Pinned versions are loaded as they appear, and tried again where that fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from app.artifacts.store import Artifact, ArtifactFile, ArtifactStore
from app.engine.batcher import Batcher
from app.engine.executor import Executor
from app.engine.pool import SessionPool
from app.serving.pinned import PinnedModels
from app.serving.routes import ModelRoutes, Routes, VersionRecord
from app.serving.runner import Runner
from app.serving.settings import ServingSettings
from tests import graphs
from tests.processes import wait_until
from tests.serving.records import record

MIB = 2**20


class Folders:
    """The one thing that a runner asks of a store; digests are folders' names."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prove(self, _: Artifact) -> None:
        pass

    async def open(self, artifact: Artifact) -> Path:
        return self._root / artifact.digest


class Served:
    """A routing table whose pinned versions are kept loaded, within 4 MiB."""

    def __init__(self, root: Path, pool: SessionPool, executor: Executor) -> None:
        self._root = root
        self.pool = pool
        self._routes = Routes()
        runner = Runner(
            pool,
            executor,
            Batcher(executor, max_rows=1),
            cast("ArtifactStore", Folders(root)),
        )
        self.pinned = PinnedModels(self._routes, runner, pool)

    def route(self, name: str, *, pinned: bool = True, mib: int = 1) -> None:
        """Puts a version in, in place of what had this name."""
        folder = self._root / name
        if not folder.exists():
            folder.mkdir()
            (folder / "model.onnx").write_bytes(graphs.add_one())
        version = _version(name, pinned=pinned, mib=mib)
        self._routes.replace({name: ModelRoutes(name, (version,), {})})
        self.pinned.refresh()

    async def until_loaded(self, name: str) -> None:
        def is_loaded() -> bool:
            return self.pool.is_loaded(name)

        await asyncio.to_thread(wait_until, is_loaded, f"loading {name}")


def _version(name: str, *, pinned: bool, mib: int) -> VersionRecord:
    return replace(
        record(bounded_cost=True),
        id=name,
        name=name,
        artifact=Artifact(name, (ArtifactFile("model.onnx", 1, name),)),
        memory_bytes=mib * MIB,
        settings=ServingSettings(pinned=pinned),
    )


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Served]:
    pool = SessionPool(memory_budget_bytes=4 * MIB, room_wait_s=0.5)
    executor = Executor(threads=1)
    served = Served(root, pool, executor)
    keeping = asyncio.create_task(served.pinned.keep_loaded())
    try:
        yield served
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await executor.close()
        await pool.close()


async def test_a_pinned_version_is_loaded_when_it_appears(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.route("lazy", pinned=False)
        served.route("pinned")
        await served.until_loaded("pinned")
        served.route("later")
        await served.until_loaded("later")
        assert not served.pool.is_loaded("lazy")


async def test_a_version_that_becomes_pinned_is_loaded(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.route("a", pinned=False)
        served.route("a", pinned=True)
        await served.until_loaded("a")


async def test_one_that_does_not_fit_keeps_none_of_the_others_out(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as served:
        served.route("huge", mib=5)
        served.route("small")
        await served.until_loaded("small")


async def test_one_without_room_is_loaded_once_another_is_unpinned(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as served:
        served.route("first", mib=3)
        await served.until_loaded("first")
        served.route("second", mib=3)
        served.route("third")
        await served.until_loaded("third")
        assert served.pool.is_loaded("first")
        served.route("first", mib=3, pinned=False)
        await served.until_loaded("second")
        assert not served.pool.is_loaded("first")
