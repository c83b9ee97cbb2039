"""A process beside the server that scores files.

In the server's own threads they would take Python's lock from the predictions that
somebody waits for. It comes with the first file job and ends when it has been idle;
its standard input is its bell, and its end tells it that the server is gone.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import orjson

from app.crud import job_upkeep
from app.database import Database
from app.errors import MLForgeError

logger = logging.getLogger(__name__)

RING: Final = b"\n"
STOP_S: Final = 20.0

# Rows, failed rows and seconds of a chunk that is in its job's result.
NoteChunk = Callable[[int, int, float], None]


def _nobody_counts(*_: float) -> None:
    return


class FileProcess:
    """`order` is what the process reads first: the settings, as JSON."""

    def __init__(self, database: Database, order: bytes, *, sweep_s: float) -> None:
        self._database = database
        self._order = order
        self._note: NoteChunk = _nobody_counts
        self._sweep_s = sweep_s
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._wakeup = asyncio.Event()

    def wake(self) -> None:
        self._wakeup.set()

    @asynccontextmanager
    async def running(self, note: NoteChunk) -> AsyncIterator[None]:
        """`note` is told of each chunk that is done."""
        self._note = note
        task = asyncio.create_task(self._run(), name="file-process")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await self._end()

    async def _run(self) -> None:
        while True:
            self._wakeup.clear()
            try:
                await self._look()
            except (MLForgeError, OSError) as error:
                logger.warning("the process for files waits: %r", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sweep_s):
                    await self._wakeup.wait()

    async def _look(self) -> None:
        if self._process is not None and self._process.returncode is None:
            await self._tell(RING)
            return
        async with self._database.reading() as db:
            is_wanted = await job_upkeep.has_live_files(db)
        if is_wanted:
            await self._start()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            # No folder that we happen to be in: it may hold another `app`.
            *(sys.executable, "-P", "-m", "app.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # What Ctrl-C sends is for the server, which then ends it in order.
            start_new_session=True,
        )
        self._listening = asyncio.create_task(self._listen(self._process))
        await self._tell(self._order + b"\n")

    async def _tell(self, words: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        with suppress(ConnectionError):
            process.stdin.write(words)
            await process.stdin.drain()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        async for line in process.stdout:
            rows, failed, took_s = orjson.loads(line)
            self._note(rows, failed, took_s)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._listening is not None:
            await asyncio.wait({self._listening})
