"""Stops the work for a caller who has hung up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")

# Shorter work is done before anybody could hang up, and is not worth a task.
PATIENCE_S = 0.1


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; ClientDisconnect, with `work` cancelled, if the caller goes.

    The body must have been read. Work that ends soon costs one timer.
    """
    worker = asyncio.current_task()
    assert worker is not None
    watch = _Watch(receive, worker)
    timer = asyncio.get_running_loop().call_later(PATIENCE_S, watch.start)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.hung_up and worker.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        timer.cancel()
        watch.end()


class _Watch:
    def __init__(self, receive: Receive, worker: asyncio.Task[Any]) -> None:
        self.hung_up = False
        self._receive = receive
        self._worker = worker
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._wait())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.hung_up = True
        self._worker.cancel()
