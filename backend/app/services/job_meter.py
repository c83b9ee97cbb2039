"""What the metrics tell of jobs."""

import asyncio
from collections.abc import Callable

import structlog

from app.crud import job_upkeep
from app.database import Database
from app.errors import MLForgeError
from app.observability.metrics import Metrics
from app.services.file_endings import Scored
from app.services.job_endings import Ending, Wrote
from app.services.job_hand import Hand

_log = structlog.get_logger(__name__)


class JobMeter:
    """`note` is told of each chunk: its rows, failed rows and seconds."""

    def __init__(
        self, metrics: Metrics, note: Callable[[int, int, float], None] | None = None
    ) -> None:
        self._metrics = metrics
        self._note = note or metrics.note_chunk

    def began(self, hand: Hand) -> None:
        if hand.claimed.tries > 1:
            self._metrics.job_retries.inc()

    def ended(self, ending: Ending, wrote: Wrote, took_s: float) -> None:
        if isinstance(ending, Scored) and wrote is not Wrote.NOTHING:
            summary = ending.summary
            self._note(summary.rows, summary.failed, took_s)


class JobCensus:
    """Counts the jobs that wait and run, now and then: few rows, by an index."""

    def __init__(
        self, database: Database, metrics: Metrics, *, every_s: float = 5.0
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._every_s = every_s

    async def run(self) -> None:
        while True:
            try:
                await self.take()
            except MLForgeError as error:
                _log.warning("jobs_not_counted", error=error.detail)
            await asyncio.sleep(self._every_s)

    async def take(self) -> None:
        async with self._database.reading() as db:
            live = await job_upkeep.count_live(db)
        self._metrics.note_jobs(queued=live.queued, running=live.running)
