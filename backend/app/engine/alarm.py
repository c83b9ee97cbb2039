"""Stops runs at their time limits, from one thread that is there before they begin.

A process that may make no more threads can still end its runs.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self


class Stoppable(Protocol):
    def set(self) -> None: ...


class Alarm:
    """For one run at a time. Use it as a context manager, which owns the thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._armed: tuple[Stoppable, float] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @contextmanager
    def armed(self, run: Stoppable, deadline: float) -> Iterator[None]:
        """Sets `run` if the block is not left by this instant of `time.monotonic()`."""
        self._arm((run, deadline))
        try:
            yield
        finally:
            self._arm(None)

    def _arm(self, armed: tuple[Stoppable, float] | None) -> None:
        with self._changed:
            self._armed = armed
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                if self._armed is None:
                    self._changed.wait()
                    continue
                run, deadline = self._armed
                left_s = deadline - time.monotonic()
                if left_s > 0:
                    self._changed.wait(left_s)
                else:
                    run.set()
                    self._armed = None
