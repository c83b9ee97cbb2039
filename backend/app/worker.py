"""The worker process: runs jobs until SIGTERM or SIGINT.

`python -m app.worker` is the one beside a server, which starts it: it scores files
until its standard input ends, or until there have been none for a while.
"""

import asyncio
import logging
import os
import signal
import sys
from time import monotonic
from typing import Final

import orjson

from app.config import Settings
from app.observability.logging import configure_logging
from app.runtime import Runtime, build
from app.services.job_pulse import Pulse
from app.services.job_worker import run_jobs

logger = logging.getLogger(__name__)

# Beside a server on the same machine, predictions that somebody waits for go first.
_NICE: Final = 10
_IDLE_S: Final = 60.0


async def work(settings: Settings) -> None:
    os.nice(_NICE)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with build(settings, role="worker") as runtime:
        # Leases and the names of parts bear it.
        logger.info("worker %s started", runtime.job_runner.owner)
        await run_jobs(
            runtime.job_runner,
            settings.redis_url,
            stop,
            Pulse(settings.worker_name),
        )
    logger.info("worker stopped")


async def work_beside() -> None:
    """What a server without Redis starts for its files."""
    os.nice(_NICE)
    stdin = await _standard_input()
    settings = Settings(_env_file=None, **orjson.loads(await stdin.readline()))
    configure_logging(settings.log_level, settings.log_format)
    async with (
        build(settings, role="files", tell=_tell) as runtime,
        runtime.job_runner.running(),
    ):
        hearing = asyncio.create_task(_hear(stdin, runtime))
        idling = asyncio.create_task(_idle(runtime))
        await asyncio.wait({hearing, idling}, return_when=asyncio.FIRST_COMPLETED)
        hearing.cancel()
        idling.cancel()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _hear(stdin: asyncio.StreamReader, runtime: Runtime) -> None:
    while await stdin.readline():
        runtime.job_runner.wake()


async def _idle(runtime: Runtime) -> None:
    worked_at = monotonic()
    while monotonic() - worked_at < _IDLE_S:
        await asyncio.sleep(1)
        if not runtime.job_runner.is_idle():
            worked_at = monotonic()


def _tell(rows: int, failed: int, took_s: float) -> None:
    sys.stdout.buffer.write(orjson.dumps([rows, failed, took_s]) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(work_beside())
