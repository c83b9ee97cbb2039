"""The loads: a closed loop, and an open one whose callers do not wait for each other."""

import asyncio
import random
import time
from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from app.cli.bench.connection import Answered, Connection
from app.cli.bench.requests import Requests

MAX_BACKLOG: Final = 10_000
# The loop's timers are as coarse as this: it looks at the clock itself before an
# arrival, so that no answer is late by a timer.
_TIMER_S: Final = 0.002

Open = Callable[[], Awaitable[Connection]]


@dataclass(slots=True)
class Outcome:
    """Seconds that each answered request took, and how many were not."""

    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    took_s: float = 0.0
    errors: int = 0
    cached: int = 0

    def note(self, answer: Answered, latency_s: float) -> None:
        if not answer.ok:
            self.errors += 1
            return
        self.latencies_s.append(latency_s)
        self.cached += answer.cached


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a load sends, and how long it then waits for what is under way."""

    seconds: float
    timeout_s: float


async def closed_loop(
    open_connection: Open,
    requests: Requests,
    limits: Limits,
    *,
    connections: int,
    first: int = 0,
) -> Outcome:
    """Each connection asks again as soon as it was answered."""
    opened = await _open_all(open_connection, connections)
    loop = _Closed(requests, first, time.perf_counter() + limits.seconds, connections)
    return await _run(opened, loop, limits)


class _Closed:
    def __init__(
        self, requests: Requests, first: int, stop_at: float, connections: int
    ) -> None:
        self.outcome = Outcome()
        self.done = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._number = first
        self._stop_at = stop_at
        self._busy = connections

    def unanswered(self) -> int:
        return self._busy

    def begin(self, connections: list[Connection]) -> None:
        for connection in connections:
            self._ask(connection)

    def _ask(self, connection: Connection) -> None:
        request = self._requests.write(self._number)
        self._number += 1
        sent_at = time.perf_counter()
        connection.on_answer = partial(self._answered, connection, sent_at)
        connection.send(request)

    def _answered(
        self, connection: Connection, sent_at: float, answer: Answered
    ) -> None:
        now = time.perf_counter()
        self.outcome.note(answer, now - sent_at)
        if now < self._stop_at and not answer.lost:
            self._ask(connection)
            return
        self._busy -= 1
        if not self._busy and not self.done.done():
            self.done.set_result(None)


async def open_loop(
    open_connection: Open,
    requests: Requests,
    limits: Limits,
    *,
    connections: int,
    rate: float,
    first: int = 0,
    seed: int = 1,
) -> Outcome:
    """Callers arrive as a Poisson process of `rate` a second and count their own time
    from then, though they may have to wait for one of the connections."""
    opened = await _open_all(open_connection, connections)
    loop = _Opened(requests, first, limits.seconds, random.Random(seed), rate)
    return await _run(opened, loop, limits)


class _Opened:
    def __init__(
        self,
        requests: Requests,
        first: int,
        seconds: float,
        chance: random.Random,
        rate: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.outcome = Outcome()
        self.done = self._loop.create_future()
        self._requests = requests
        self._number = first
        self._stop_at = time.perf_counter() + seconds
        self._chance, self._rate = chance, rate
        self._next_at = time.perf_counter()
        self._idle: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._busy = 0

    def unanswered(self) -> int:
        return self._busy + len(self._waiting)

    def begin(self, connections: list[Connection]) -> None:
        self._idle.extend(connections)
        self._tick()

    def _tick(self) -> None:
        """Lets in who has arrived by now, and comes again for the next."""
        now = time.perf_counter()
        while self._next_at <= now and self._next_at < self._stop_at:
            self._arrive(self._next_at)
            self._next_at += self._chance.expovariate(self._rate)
        if self._next_at >= self._stop_at:
            self._end_if_idle()
        elif self._next_at - now > _TIMER_S:
            self._loop.call_later(self._next_at - now - _TIMER_S / 2, self._tick)
        else:
            self._loop.call_soon(self._tick)

    def _arrive(self, at: float) -> None:
        # The one used last: a server may close those that idle for long.
        while self._idle and not self._idle[-1].is_open:
            self._idle.pop()
        if self._idle:
            self._ask(self._idle.pop(), at)
        elif self._busy and len(self._waiting) < MAX_BACKLOG:
            self._waiting.append(at)
        else:
            self.outcome.errors += 1

    def _ask(self, connection: Connection, arrived_at: float) -> None:
        request = self._requests.write(self._number)
        self._number += 1
        self._busy += 1
        connection.on_answer = partial(self._answered, connection, arrived_at)
        connection.send(request)

    def _answered(
        self, connection: Connection, arrived_at: float, answer: Answered
    ) -> None:
        self.outcome.note(answer, time.perf_counter() - arrived_at)
        self._busy -= 1
        if not answer.lost:
            if self._waiting:
                self._ask(connection, self._waiting.popleft())
            else:
                self._idle.append(connection)
        elif not self._busy and not self._idle:
            self.outcome.errors += len(self._waiting)
            self._waiting.clear()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        over = self._next_at >= self._stop_at
        if over and not self._busy and not self._waiting and not self.done.done():
            self.done.set_result(None)


async def _open_all(open_connection: Open, count: int) -> list[Connection]:
    return list(await asyncio.gather(*(open_connection() for _ in range(count))))


async def _run(
    opened: list[Connection], load: "_Closed | _Opened", limits: Limits
) -> Outcome:
    """Runs a load to its end; what is unanswered by then has failed."""
    began, outcome = time.perf_counter(), load.outcome
    try:
        load.begin(opened)
        ended, _ = await asyncio.wait(
            {load.done}, timeout=limits.seconds + limits.timeout_s
        )
        outcome.took_s = time.perf_counter() - began
        if not ended:
            outcome.errors += load.unanswered()
            load.done.cancel()
    finally:
        for connection in opened:
            connection.close()
    return outcome
