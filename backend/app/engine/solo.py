"""All threads for a run that is alone.

Runs of one thread each get the most done when there are many. One caller alone would
leave cores idle, so a model whose runs take long is loaded a second time, for all
threads, and runs that are alone go to that copy.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

import structlog

from app.engine.dispatch import RunCosts, size_bucket
from app.errors import MLForgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.engine.session import Stop
    from app.engine.values import Tensors, Value

# Waking the other threads costs some 10 µs for each node of the graph.
_LONG_S: Final = 2e-3
# Long runs that were alone before a copy is made, and runs of it before it is judged.
_RUNS_BEFORE, _RUNS_JUDGED = 3, 5
_LEAST_GAIN: Final = 1.1
_MOST_SHAPES: Final = 64
# Measured by bench/threads.py's models: 1.7 and 2.0, for weights are arranged anew.
_MEMORY_PER_FILE_BYTE: Final = 2
# A copy that no run has used for so long makes room for another.
_IDLE_S: Final = 60.0

_log = structlog.get_logger(__name__)


class Runnable(Protocol):
    """What is needed of a session here."""

    costs: RunCosts

    def run_stoppable(
        self, inputs: Tensors, outputs: Sequence[str] | None, stop: Stop | None
    ) -> dict[str, Value]: ...


class Crowd:
    """Tells runs that are alone from those of a crowd. Safe from any thread."""

    def __init__(self, threads: int) -> None:
        # Fewer than half as many runs as threads would leave threads idle.
        self._most_alone = max(1, threads // 2)
        self._going_on = 0
        self._was_crowded = False
        self._lock = threading.Lock()

    @contextmanager
    def one_more(self) -> Iterator[bool]:
        """Around a run; whether it is alone.

        The first that finds itself alone after a crowd is not: of those who call
        again and again, all may be between two runs for a moment.
        """
        with self._lock:
            self._going_on += 1
            is_crowded = self._going_on > self._most_alone
            alone = not (is_crowded or self._was_crowded)
            self._was_crowded = is_crowded
        try:
            yield alone
        finally:
            with self._lock:
                self._going_on -= 1


class SoloCopies:
    """The copies of one process. Safe from any thread."""

    def __init__(
        self,
        *,
        threads: int,
        memory_bytes: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.threads = threads
        self.clock = clock
        self.crowd = Crowd(threads)
        self._memory_bytes = memory_bytes
        # Those that are loaded or being loaded. The sessions own them: one that is
        # evicted takes its copy along.
        self._held: WeakKeyDictionary[Solo, int] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(1, "mlforge-solo")
        self._closed = False

    @property
    def memory_bytes(self) -> int:
        """What the copies take, an estimate."""
        with self._lock:
            return sum(self._held.values())

    def can_hold(self, file_bytes: int) -> bool:
        """Whether there may ever be a copy of a model with files of this size."""
        return _size_of(file_bytes) <= self._memory_bytes

    def order(self, solo: Solo) -> bool:
        """Has its copy loaded, unless there is no room for it now."""
        size_bytes = _size_of(solo.file_bytes)
        with self._lock:
            if self._closed or not self._make_room(size_bytes):
                return False
            self._held[solo] = size_bytes
            self._loader.submit(solo.load)
            return True

    def give_back(self, solo: Solo) -> None:
        with self._lock:
            self._held.pop(solo, None)

    def close(self) -> None:
        """Blocks until the copy being loaded has been."""
        with self._lock:
            self._closed = True
        self._loader.shutdown(cancel_futures=True)

    def _make_room(self, size_bytes: int) -> bool:
        idle_since = self.clock() - _IDLE_S
        by_use = sorted(self._held.items(), key=lambda held: held[0].used_at)
        free = self._memory_bytes - sum(self._held.values())
        for solo, taken in by_use:
            if free >= size_bytes or solo.used_at > idle_since:
                break
            solo.forget()
            del self._held[solo]
            free += taken
        return free >= size_bytes


class Solo:
    """One session's copy: whether it has one, and whether that pays."""

    def __init__(
        self, copies: SoloCopies, file_bytes: int, load_copy: Callable[[], Runnable]
    ) -> None:
        self.file_bytes = file_bytes
        self.used_at = inf
        self._copies = copies
        self._load_copy = load_copy
        self._copy: Runnable | None = None
        self._judgement = _Judgement()
        self._ordered = self._refused = False
        self._lock = threading.Lock()

    @property
    def threads(self) -> int:
        """How many a run that is alone uses now."""
        return 1 if self._copy is None else self._copies.threads

    def run(
        self,
        session: Runnable,
        inputs: Tensors,
        outputs: Sequence[str] | None,
        stop: Stop | None,
    ) -> dict[str, Value]:
        """As `session.run_stoppable`."""
        with self._copies.crowd.one_more() as alone:
            copy = self._copy
            if not alone or self._refused:
                return session.run_stoppable(inputs, outputs, stop)
            started = self._copies.clock()
            result = (copy or session).run_stoppable(inputs, outputs, stop)
            took_s = self._copies.clock() - started
        if copy is None:
            self._note_without(size_bucket(inputs), took_s)
        else:
            # One of several threads tells little of what a run costs.
            session.costs.distrust()
            self._note_with(size_bucket(inputs), took_s)
        return result

    def load(self) -> None:
        try:
            copy = self._load_copy()
        except (MLForgeError, OSError) as error:
            _log.warning("solo_copy_failed", error=str(error))
            self._refuse()
            return
        self.used_at = self._copies.clock()
        self._copy = copy

    def forget(self) -> None:
        """Lets the copy go; there may be another when it is wanted again."""
        with self._lock:
            self._copy = None
            self._judgement = _Judgement()
            self._ordered = False
            self.used_at = inf

    def _note_without(self, bucket: int, took_s: float) -> None:
        with self._lock:
            self._judgement.note_without(bucket, took_s)
            if self._ordered or not self._judgement.is_slow:
                return
            self._ordered = True
        if not self._copies.order(self):
            self.forget()

    def _note_with(self, bucket: int, took_s: float) -> None:
        self.used_at = self._copies.clock()
        with self._lock:
            self._judgement.note_with(bucket, took_s)
            is_in_vain = self._judgement.is_in_vain
        if is_in_vain:
            self._refuse()

    def _refuse(self) -> None:
        self._refused = True
        self._copy = None
        self._copies.give_back(self)


class _Judgement:
    """What runs that were alone took, on one thread and then on all."""

    def __init__(self) -> None:
        # Of runs without the copy, how many more were long than short, of late.
        self._long = 0
        self._best_s: dict[int, float] = {}
        self._compared = 0
        self._gain = 0.0

    @property
    def is_slow(self) -> bool:
        return self._long >= _RUNS_BEFORE

    @property
    def is_in_vain(self) -> bool:
        return self._compared >= _RUNS_JUDGED and self._gain < _LEAST_GAIN

    def note_without(self, bucket: int, took_s: float) -> None:
        self._long = max(0, self._long + (1 if took_s >= _LONG_S else -1))
        best_s = self._best_s.get(bucket, inf)
        if best_s < inf or len(self._best_s) < _MOST_SHAPES:
            self._best_s[bucket] = min(best_s, took_s)

    def note_with(self, bucket: int, took_s: float) -> None:
        best_s = self._best_s.get(bucket)
        if best_s is not None:
            self._compared += 1
            self._gain = max(self._gain, best_s / took_s)


def _size_of(file_bytes: int) -> int:
    return int(file_bytes * _MEMORY_PER_FILE_BYTE)
