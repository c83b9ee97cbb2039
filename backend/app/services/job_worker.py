"""A worker's life: run jobs, hear the bell, stop in time."""

import asyncio
import logging

from app.jobs.arq_listener import ArqListener
from app.services.job_pulse import Pulse
from app.services.job_runner import JobRunner

logger = logging.getLogger(__name__)

BELL_STOP_S = 7.0


async def run_jobs(
    runner: JobRunner, redis_url: str, stop: asyncio.Event, pulse: Pulse
) -> None:
    """Runs jobs until `stop`, woken by the bell where there is a Redis.

    What runs at the stop may finish within the runner's grace.
    """

    def beat() -> None:
        pulse.beat(is_well=runner.is_well())

    running = asyncio.create_task(runner.run(beat), name="job-runner")
    bell = asyncio.create_task(_listen(runner, redis_url), name="job-bell")
    bell.add_done_callback(_report)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        logger.info("stopping: jobs in hand may finish")
        runner.stop()
        stopping.cancel()
        bell.cancel()
        await asyncio.gather(running, _silenced(bell))
        pulse.end()


async def _listen(runner: JobRunner, redis_url: str) -> None:
    """Without a bell the runner's sweep finds every job, only later."""
    if redis_url:
        await ArqListener(redis_url, runner.wake, runner.is_full).run()


def _report(bell: asyncio.Task[None]) -> None:
    if not bell.cancelled() and (error := bell.exception()) is not None:
        logger.error("the bell is broken; jobs go on by sweep", exc_info=error)


async def _silenced(bell: asyncio.Task[None]) -> None:
    # A frozen Redis may hold the bell; it must not hold the shutdown.
    await asyncio.wait({bell}, timeout=BELL_STOP_S)
