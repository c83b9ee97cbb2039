"""The processes that validate: started ahead where wanted, each used for one model."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.engine.scratch import EmptyFolder, sweep

# Nothing of the environment says where modules are: they are this very program's.
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from app.engine.child import main; main()"
)
_MODULES = Path(__file__).parents[2]
_PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Child:
    """A process in an empty folder, that waits for its order on stdin."""

    process: Process
    folder: EmptyFolder

    @classmethod
    async def start(cls, scratch: Path) -> Self:
        folder = await asyncio.to_thread(EmptyFolder.new, scratch)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-c", _PROGRAM),
                str(_MODULES),
                str(os.getpid()),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                cwd=folder.path,
                env=_environment(),
                start_new_session=True,
            )
        except BaseException:
            await asyncio.to_thread(folder.remove)
            raise
        return cls(process, folder)

    @property
    def lives(self) -> bool:
        return self.process.returncode is None

    async def tell(self, order: str) -> None:
        """All that it will hear. That it is gone by now, its answers will show."""
        assert self.process.stdin is not None
        self.process.stdin.write(order.encode() + b"\n")
        with suppress(ConnectionError):
            await self.process.stdin.drain()
        self.process.stdin.close()

    async def end(self) -> None:
        """Its whole group is gone afterwards, and its folder."""
        try:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
        finally:
            await asyncio.to_thread(self.folder.remove)


class Children:
    """`spares` of them are kept ready from `open` to `close`, and started again as they
    are taken.

    `scratch` is where their folders are made. Belongs to one event loop.
    """

    def __init__(self, *, spares: int, scratch: Path) -> None:
        self._most = spares
        self._scratch = scratch
        self._spares: deque[Child] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._is_open = False
        sweep(scratch)

    def open(self) -> None:
        self._is_open = True
        self.refill()

    async def take(self) -> Child:
        """One that has had no order yet; who takes it must end it."""
        while self._spares:
            child = self._spares.popleft()
            if child.lives:
                return child
            await child.end()
        return await Child.start(self._scratch)

    def refill(self) -> None:
        """Starts spares in the background, as many as are missing while it is open."""
        missing = self._most - len(self._spares) - len(self._starting)
        for _ in range(missing if self._is_open else 0):
            task = asyncio.create_task(self._start_spare())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def close(self) -> None:
        self._is_open = False
        await asyncio.gather(*self._starting, return_exceptions=True)
        while self._spares:
            await self._spares.popleft().end()

    async def _start_spare(self) -> None:
        # None is no loss but of time: the next upload starts its own, or says why not.
        with suppress(OSError):
            self._spares.append(await Child.start(self._scratch))


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "ORT_DISABLE_TELEMETRY": "1",
        # A thread of it would count 64 MiB of address space each.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
