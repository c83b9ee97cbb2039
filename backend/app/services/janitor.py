"""Clears away the files that nothing refers to any more, and old jobs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from app.errors import MLForgeError

_log = structlog.get_logger(__name__)

Clean = Callable[[], Awaitable[object]]


class Janitor:
    """Does each of `tasks` again and again; trouble waits for the next round."""

    def __init__(self, tasks: Sequence[Clean], *, every_s: float = 600.0) -> None:
        self._tasks = tasks
        self._every_s = every_s

    async def clean(self) -> None:
        for task in self._tasks:
            try:
                await task()
            except (MLForgeError, OSError) as error:
                _log.warning("cleaning_failed", error=repr(error))

    async def run(self) -> None:
        while True:
            await self.clean()
            await asyncio.sleep(self._every_s)
