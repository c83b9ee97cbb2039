"""The bell of workers in other processes, rung through Redis by arq."""

import asyncio
import logging
from time import monotonic

from redis.exceptions import RedisError

from app.jobs.arq_connection import RING, connect

logger = logging.getLogger(__name__)


class ArqDoorbell:
    """Rings with a deadline, and not at all for a while after Redis failed.

    `failures` counts the rings that were lost; the sweep of a worker finds
    those jobs.
    """

    def __init__(
        self, url: str, *, timeout_s: float = 0.25, quiet_s: float = 2.0
    ) -> None:
        self._redis = connect(url, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s
        self._quiet_until = 0.0
        self.failures = 0

    async def ring(self, job_id: str) -> None:
        if monotonic() < self._quiet_until:
            self.failures += 1
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                # arq makes a fresh id for each call: it ignores an id it has seen.
                await self._redis.enqueue_job(RING, job_id)
        except (RedisError, OSError, TimeoutError) as error:
            self.failures += 1
            self._quiet_until = monotonic() + self._quiet_s
            logger.warning(
                "Redis did not take the ring for job %s (%s); a worker's sweep "
                "will find the job",
                job_id,
                type(error).__name__,
            )

    async def close(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.aclose(close_connection_pool=True)
        except (RedisError, OSError, TimeoutError) as error:
            logger.info("closing the Redis client failed: %s", type(error).__name__)
