"""ONNX Runtime in this process, with nothing around it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path

import onnxruntime

from bench import answers
from bench.cpu import watched
from bench.figures import Figures, of_latencies
from bench.payloads import Inputs, payload
from bench.subjects import Load


@dataclass
class Bare:
    """The best of what the cores can be used for: runs side by side of one thread
    each, or one run after the other of as many threads as there are cores."""

    path: Path
    _sessions: dict[int, onnxruntime.InferenceSession] = field(default_factory=dict)
    # Goes on from load to load: inputs cost differently, and all must have their turn.
    _turns: Iterator[int] = field(default_factory=count)

    def check(self, form: str) -> None:
        """It is the reference."""

    def measure(self, load: Load, seconds: float) -> Figures:
        cores = len(os.sched_getaffinity(0))
        ways = {(min(load.connections, cores), 1), (1, cores)}
        measured = [
            self._run(callers, threads, seconds) for callers, threads in sorted(ways)
        ]
        return max(measured, key=lambda figures: figures.per_second)

    @cached_property
    def _inputs(self) -> list[Inputs]:
        made = payload("v2-json", self.path.stem)
        return [made.inputs(at) for at in range(len(made.templates))]

    def _run(self, callers: int, threads: int, seconds: float) -> Figures:
        if threads not in self._sessions:
            self._sessions[threads] = answers.session(self.path, threads=threads)
        session = self._sessions[threads]

        def call() -> None:
            session.run(None, dict(self._inputs[next(self._turns) % len(self._inputs)]))

        figures, shares = watched(None, lambda: _side_by_side(call, callers, seconds))
        return replace(figures, elsewhere=shares.elsewhere)


def _side_by_side(call: Callable[[], None], callers: int, seconds: float) -> Figures:
    latencies: list[float] = []
    began = time.perf_counter()
    stop_at = began + seconds

    def work() -> None:
        while (started := time.perf_counter()) < stop_at:
            call()
            latencies.append(time.perf_counter() - started)

    workers = [threading.Thread(target=work) for _ in range(callers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return of_latencies(latencies, time.perf_counter() - began, 0)


@contextmanager
def bare(model: Path) -> Iterator[Bare]:
    yield Bare(model)
