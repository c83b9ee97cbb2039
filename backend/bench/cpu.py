"""Whose the CPU was while a load ran: a busy machine measures nothing."""

import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import psutil

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shares:
    """Cores in use on average, by the server, and by all but it and us."""

    server: float
    elsewhere: float


def watched(pid: int | None, work: Callable[[], T]) -> tuple[T, Shares]:
    """Runs `work`, with the shares of the program `pid` and everything it started;
    without one, this process is all that is measured."""
    before, began = _used(pid), time.monotonic()
    done = work()
    took_s = time.monotonic() - began
    after = _used(pid)
    machine, server, ours = (
        (late - early) / took_s for late, early in zip(after, before, strict=True)
    )
    return done, Shares(round(server, 2), round(max(0.0, machine - server - ours), 2))


def _used(pid: int | None) -> tuple[float, float, float]:
    """CPU seconds of the machine, of a family, of this process and its dead children."""
    times = psutil.cpu_times()
    busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
    ours = sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(
            resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
    )
    return busy, 0.0 if pid is None else _family(pid), ours


def _family(pid: int) -> float:
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total
