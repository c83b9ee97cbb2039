import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.engine.pool import SessionPool
from app.engine.session import Session
from app.errors import ArtifactCorrupt, InvalidModel, ShuttingDown
from tests import graphs
from tests.engine.conftest import WriteModel

ONE = {"x": np.ones(1, np.float32)}


class Folder:
    """Opens a folder when it may, and counts how often it was asked to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0
        self.may_open = asyncio.Event()

    async def __call__(self) -> Path:
        self.asked += 1
        await self.may_open.wait()
        return self.path


async def cancel(tasks: list[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_storm_of_askers_loads_once(
    pool: SessionPool, write_model: WriteModel
) -> None:
    folder = Folder(write_model(graphs.add_one()))
    asking = [asyncio.create_task(pool.load("d", folder)) for _ in range(100)]
    await asyncio.sleep(0)
    folder.may_open.set()
    sessions = await asyncio.gather(*asking)
    assert folder.asked == 1
    assert len(set(map(id, sessions))) == 1
    assert pool.loaded("d") is sessions[0]
    assert await pool.load("d", folder) is sessions[0]
    assert folder.asked == 1


async def test_a_cancelled_asker_does_not_stop_the_load(
    pool: SessionPool, write_model: WriteModel
) -> None:
    folder = Folder(write_model(graphs.add_one()))
    first = asyncio.create_task(pool.load("d", folder))
    second = asyncio.create_task(pool.load("d", folder))
    await asyncio.sleep(0)
    await cancel([first])
    folder.may_open.set()
    assert isinstance(await second, Session)
    assert folder.asked == 1


async def test_a_load_whose_askers_are_all_gone_still_serves_the_next(
    pool: SessionPool, write_model: WriteModel
) -> None:
    folder = Folder(write_model(graphs.add_one()))
    first = asyncio.create_task(pool.load("d", folder))
    await asyncio.sleep(0)
    await cancel([first])
    folder.may_open.set()
    await pool.load("d", folder)
    assert folder.asked == 1


async def test_a_failed_load_fails_every_asker_and_is_tried_again(
    pool: SessionPool, write_model: WriteModel
) -> None:
    folder = Folder(write_model(b"junk"))
    folder.may_open.set()
    asking = [pool.load("d", folder) for _ in range(3)]
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [InvalidModel] * 3
    assert folder.asked == 1
    folder.path = write_model(graphs.add_one())
    assert isinstance(await pool.load("d", folder), Session)


async def test_a_folder_that_cannot_be_opened_is_the_askers_error(
    pool: SessionPool,
) -> None:
    async def corrupt() -> Path:
        raise ArtifactCorrupt("the file changed")

    with pytest.raises(ArtifactCorrupt):
        await pool.load("d", corrupt)
    assert pool.loaded("d") is None


async def test_a_dropped_model_is_loaded_anew(
    pool: SessionPool, write_model: WriteModel
) -> None:
    folder = Folder(write_model(graphs.add_one()))
    folder.may_open.set()
    session = await pool.load("d", folder)
    pool.drop("d")
    assert pool.loaded("d") is None
    assert session.run(ONE, None)["y"] == 2
    assert await pool.load("d", folder) is not session


async def test_a_model_dropped_while_it_loads_is_not_kept(
    pool: SessionPool, write_model: WriteModel
) -> None:
    folder = Folder(write_model(graphs.add_one()))
    asking = asyncio.create_task(pool.load("d", folder))
    await asyncio.sleep(0)
    pool.drop("d")
    folder.may_open.set()
    assert isinstance(await asking, Session)
    assert pool.loaded("d") is None


async def test_closing_ends_loads_and_refuses_more(write_model: WriteModel) -> None:
    pool = SessionPool()
    folder = Folder(write_model(graphs.add_one()))
    loading = asyncio.create_task(pool.load("d", folder))
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(asyncio.CancelledError):
        await loading
    with pytest.raises(ShuttingDown):
        await pool.load("e", folder)
