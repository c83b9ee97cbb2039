"""Runs on the event loop's own thread, watched so that none can hold it up."""

import threading
import time
from collections.abc import Sequence

from app.engine.session import Session, Stop
from app.engine.timing import Timing
from app.engine.values import Tensors, Value, weigh
from app.errors import InferenceFailed

# A run still going after one to two of these is stopped.
_LOOK_EVERY_S = 0.05


class InlineRunner:
    """Runs models right here. Used by one thread, the event loop's."""

    def __init__(self) -> None:
        # Odd while a run is going on. The watcher only reads it.
        self._ticks = 0
        self._stop = Stop()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    def run(
        self,
        session: Session,
        inputs: Tensors,
        outputs: Sequence[str] | None,
        bucket: int,
        timing: Timing,
    ) -> dict[str, Value] | None:
        """The outputs; None if the run took too long for this thread and was stopped."""
        if self._watcher is None:
            self._watcher = self._start_watcher()
        self._ticks += 1
        started_ns = time.perf_counter_ns()
        try:
            result = session.run_stoppable(inputs, outputs, self._stop)
        except InferenceFailed:
            if not self._stop.requested:
                raise
            session.costs.distrust()
            return None
        finally:
            self._ticks += 1
            if self._stop.requested:
                self._stop = Stop()
        timing.compute_ns = time.perf_counter_ns() - started_ns
        session.costs.record_inline(bucket, timing.compute_ns / 1e9, weigh(result))
        return result

    def close(self) -> None:
        self._closed.set()
        if self._watcher is not None:
            self._watcher.join()

    def _start_watcher(self) -> threading.Thread:
        watcher = threading.Thread(
            target=self._watch, name="mlforge-watch", daemon=True
        )
        watcher.start()
        return watcher

    def _watch(self) -> None:
        seen = 0
        while not self._closed.wait(_LOOK_EVERY_S):
            # The stop is read first: should the run end right after the look, the
            # stop that is set is its own or unused, never a later run's.
            stop, ticks = self._stop, self._ticks
            if ticks % 2 and ticks == seen:
                stop.set()
            seen = ticks
