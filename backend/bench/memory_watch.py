"""The most memory that processes held, looked at again and again."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

_PAUSE_S = 0.02
_MIB = 1 << 20

Roles = Mapping[str, int]


class MemoryWatch:
    """`peaks` are MiB by role: resident, and of these what no file stands behind."""

    def __init__(self, roles: Callable[[], Roles]) -> None:
        self.peaks: dict[str, tuple[float, float]] = {}
        self._roles = roles
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator["MemoryWatch"]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            for role, pid in self._roles().items():
                with suppress(psutil.NoSuchProcess):
                    self._look(role, psutil.Process(pid))

    def _look(self, role: str, process: psutil.Process) -> None:
        info = process.memory_info()
        resident, own = info.rss / _MIB, (info.rss - info.shared) / _MIB
        before = self.peaks.get(role, (0.0, 0.0))
        self.peaks[role] = (max(before[0], resident), max(before[1], own))
