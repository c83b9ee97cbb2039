"""Loaded models from graphs."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.engine.admission import QueueLimits
from app.engine.executor import Executor
from app.engine.loading import load_session
from app.engine.plan import SessionPlan
from app.engine.pool import SessionPool
from app.engine.session import Session

WriteModel = Callable[..., Path]
# Any: tests take values for what they know them to be.
OpenModel = Callable[..., Any]


@pytest.fixture
def write_model(tmp_path: Path) -> WriteModel:
    """Writes a model and its companions into a folder of their own."""
    written = 0

    def write(model: bytes, companions: Mapping[str, bytes] | None = None) -> Path:
        nonlocal written
        written += 1
        folder = tmp_path / f"artifact{written}"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model)
        for name, data in (companions or {}).items():
            (folder / name).write_bytes(data)
        return folder

    return write


@pytest.fixture
def open_model(write_model: WriteModel) -> OpenModel:
    def open_it(model: bytes, companions: Mapping[str, bytes] | None = None) -> Session:
        return load_session(write_model(model, companions), SessionPlan())

    return open_it


@pytest.fixture
async def pool() -> AsyncIterator[SessionPool]:
    pool = SessionPool()
    yield pool
    await pool.close()


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor(threads=2, limits=QueueLimits(count=4))
    yield executor
    await executor.close()
