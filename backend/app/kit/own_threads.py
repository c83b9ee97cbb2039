"""Threads for work that nobody waits for, apart from those that answer callers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OwnThreads:
    """Of the priority of all others: one that gave way would do so while it holds
    Python's lock, and whoever wants that lock would wait with it."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "mlforge-file")

    async def run(
        self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        call = partial(work, *arguments, **named)
        return await loop.run_in_executor(self._pool, call)

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
