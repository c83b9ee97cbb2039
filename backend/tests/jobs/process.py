"""A worker process with a prediction that can be held, for tests to kill.

`python -m tests.jobs.process DSN REDIS_URL LEASE_S SWEEP_S FOLDER`: a run notes
its start in FOLDER/started and waits there for the file `release`.
"""

import asyncio
import logging
import signal
import sys
import tempfile
from pathlib import Path

from app.database import Database
from app.services.job_pulse import Pulse
from app.services.job_runner import JobRunner, RunnerLimits
from app.services.job_worker import run_jobs
from tests.jobs.work import predictions


class HeldByFile:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, version_id: str, body: bytes) -> bytes:
        with (self._folder / "started").open("ab") as log:
            log.write(body + b"\n")
        while not (self._folder / "release").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
        return body


async def main(dsn: str, redis_url: str, lease_s: str, sweep_s: str, at: str) -> None:
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("arq").setLevel(logging.WARNING)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # Who is killed leaves its sign of life behind.
    tempfile.tempdir = at
    database = Database(dsn)
    limits = RunnerLimits(lease_s=float(lease_s), sweep_s=float(sweep_s), grace_s=2.0)
    runner = JobRunner(database, predictions(database, HeldByFile(Path(at))), limits)
    await run_jobs(runner, redis_url, stop, Pulse("tested"))
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
