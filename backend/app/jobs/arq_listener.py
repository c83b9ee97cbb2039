"""The worker's end of the arq bell.

arq's worker ends when Redis goes away and hangs when Redis freezes, so it runs as
a task of ours: restarted with a back-off, and never waited for at shutdown.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import orjson
from arq.worker import Retry, Worker, func
from redis.exceptions import RedisError

from app.jobs.arq_connection import QUEUE_NAME, RING, connect, to_json

logger = logging.getLogger(__name__)

SOCKET_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 3.0
CANCEL_AGAIN_S = 0.1
RING_TIMEOUT_S = 5
# A worker with its hands full passes a ring on this often, for others to hear.
PASS_ON_TRIES = 3
PASS_ON_AFTER_S = 0.5


class ArqListener:
    """Calls `wake` for every ring until its task is cancelled."""

    def __init__(
        self,
        url: str,
        wake: Callable[[], None],
        is_full: Callable[[], bool],
        *,
        first_pause_s: float = 0.5,
        longest_pause_s: float = 10.0,
    ) -> None:
        self._url = url
        self._wake = wake
        self._is_full = is_full
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self.restarts = 0

    async def run(self) -> None:
        pause_s = self._first_pause_s
        while True:
            started = asyncio.get_running_loop().time()
            await self._listen_until_broken()
            self.restarts += 1
            if asyncio.get_running_loop().time() - started > self._longest_pause_s:
                pause_s = self._first_pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._longest_pause_s)

    async def _listen_until_broken(self) -> None:
        redis = connect(self._url, timeout_s=SOCKET_TIMEOUT_S)
        worker = Worker(
            functions=[func(self._ring, name=RING, timeout=RING_TIMEOUT_S)],
            redis_pool=redis,
            queue_name=QUEUE_NAME,
            handle_signals=False,
            max_jobs=50,
            poll_delay=0.1,
            keep_result=0,
            max_tries=PASS_ON_TRIES + 1,
            health_check_interval=15,
            job_timeout=RING_TIMEOUT_S,
            job_serializer=to_json,
            job_deserializer=orjson.loads,
            log_results=False,
        )
        listening = asyncio.create_task(worker.async_run(), name="arq")
        try:
            await asyncio.wait({listening})
            _report(listening)
        finally:
            await _end(listening)
            await _dismantle(worker)

    async def _ring(self, ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        if self._is_full() and ctx["job_try"] <= PASS_ON_TRIES:
            raise Retry(defer=PASS_ON_AFTER_S)
        self._wake()


def _report(listening: asyncio.Task[None]) -> None:
    """Redis may fail; whatever else ended arq is an error of ours."""
    error = listening.exception()
    if error is not None and not isinstance(error, (RedisError, OSError, TimeoutError)):
        raise error
    logger.warning(
        "the bell is silent, Redis failed (%s); jobs go on by sweep",
        type(error).__name__,
    )


async def _end(listening: asyncio.Task[None]) -> None:
    """Cancels until it works.

    redis-py sends through asyncio.wait_for, which before Python 3.12 loses a
    cancellation that comes just as the sending is done.
    """
    for _ in range(int(CLOSE_TIMEOUT_S / CANCEL_AGAIN_S)):
        if listening.done():
            return
        listening.cancel()
        await asyncio.wait({listening}, timeout=CANCEL_AGAIN_S)


async def _dismantle(worker: Worker) -> None:
    """Lets the rings in hand end, which the socket's timeout bounds, and closes.

    Worker.close() raises what they raised, and waits for Redis unbounded.
    """
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
            await worker.pool.aclose(close_connection_pool=True)
    except (RedisError, OSError, TimeoutError) as error:
        logger.info("closing the Redis client failed: %s", type(error).__name__)
