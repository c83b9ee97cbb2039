"""What the tests of the API share."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from starlette.types import ASGIApp

from app.config import Settings
from app.runtime import build
from app.services.job_pulse import Pulse
from app.services.job_worker import run_jobs


@pytest.fixture
async def worker(settings: Settings, app: ASGIApp) -> AsyncIterator[None]:
    """What runs the jobs; in the embedded deployment the server does."""
    if not settings.redis_url:
        yield
        return
    stop = asyncio.Event()
    async with build(settings, role="worker") as runtime:
        running = asyncio.create_task(
            run_jobs(runtime.job_runner, settings.redis_url, stop, Pulse(uuid4().hex))
        )
        yield
        stop.set()
        await running
