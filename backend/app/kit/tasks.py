"""Tasks that belong to somebody."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any


async def owned(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` until the stack closes."""
    task = asyncio.create_task(work)

    async def end() -> None:
        # Before Python 3.12 a library's `wait_for` may lose a cancellation.
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1)

    stack.push_async_callback(end)
