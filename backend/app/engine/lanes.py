"""Whose run is next on the engine's threads.

A lane is one model's runs, those for jobs apart from those someone waits for. The
lane that will have had the least of the threads' time after its next run is next, so
that runs of seconds get as much time as runs of milliseconds and not as many turns;
among equals, the one with the fewest runs going on. A lane begins where the others are:
time it did not use is not saved up. A lane that has none going on may take one thread
more than there are, so that a single slow model never makes others wait for it. Those
for jobs never take the last thread, nor the one more.

A run that was given up but goes on, in a kernel that cannot be stopped, no longer
counts as one of the threads: another starts, up to a bound for each lane and for all.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Literal

from app.engine.usage import Usage

# How many runs, given up or not, may be going on for each thread; and of one lane.
_MOST_PER_THREAD, _MOST_OF_LANE_PER_THREAD = 4, 2
# A lane that had more than the others waits until they have had as much, but of what it
# had in one run no more than this counts: one very long run must not shut its model out
# for as long.
_MOST_AHEAD_S = 10.0

LaneKey = tuple[Hashable, bool]


@dataclass(slots=True, eq=False)
class _Lane:
    key: LaneKey
    usage: Usage
    waiting: "deque[Ticket]" = field(default_factory=deque)
    running: int = 0
    given_up: int = 0

    @property
    def is_background(self) -> bool:
        return self.key[1]

    @property
    def is_empty(self) -> bool:
        return not (self.waiting or self.running or self.given_up)

    @property
    def work_s(self) -> float:
        """How long its waiting runs will take, as far as is known."""
        return len(self.waiting) * (self.usage.caller_s or 0.0)


@dataclass(slots=True, eq=False)
class Ticket:
    """One run's place: in the queue, on a thread, or given up and still on one."""

    lane: _Lane
    start: "Callable[[Ticket], None]"
    state: Literal["waiting", "running", "given_up", "gone"] = "waiting"
    began: float = 0.0
    # How many other runs it does beside its own.
    taken_along: int = 0


class Lanes:
    """Calls `start` of each ticket when its run may begin. Used by one thread."""

    def __init__(
        self, *, threads: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.threads = threads
        self._clock = clock
        self._most_threads = _MOST_PER_THREAD * threads
        self._most_threads_of_lane = _MOST_OF_LANE_PER_THREAD * threads
        self._most_background = max(1, threads - 1)
        self._lanes: dict[LaneKey, _Lane] = {}
        # Of lanes that are gone, while they have had more than the others.
        self._usages: dict[LaneKey, Usage] = {}
        # What the last lane served had had by then: the others' least.
        self._served_s = 0.0
        self._running = self._background = self._given_up = 0
        self._closed = False

    @property
    def most_threads(self) -> int:
        """How many runs can be going on, given up or not."""
        return self._most_threads

    @property
    def given_up(self) -> int:
        """How many runs nobody waits for hold a thread all the same."""
        return self._given_up

    @property
    def is_clogged(self) -> bool:
        """Whether runs given up have taken all the threads that are theirs to take."""
        return self._given_up >= self._most_threads - self.threads

    def starts_at_once(self, model: Hashable, *, background: bool) -> bool:
        """Whether a run that entered now would not have to wait."""
        key = (model, background)
        lane = self._lanes.get(key) or _Lane(key, Usage())
        return not (self._closed or lane.waiting) and self._has_thread_for(lane)

    def work_s(
        self, model: Hashable | None = None, *, background: bool = False
    ) -> float:
        """How long the threads need for a model's waiting runs, or for all of them,
        if they do nothing else; 0 as long as that is not known."""
        if model is None:
            total_s = sum(lane.work_s for lane in self._lanes.values())
        else:
            lane = self._lanes.get((model, background))
            total_s = 0.0 if lane is None else lane.work_s
        return total_s / self.threads

    def enter(
        self, model: Hashable, start: Callable[[Ticket], None], *, background: bool
    ) -> Ticket:
        """A place; its run may start at once."""
        key = (model, background)
        lane = self._lanes.get(key)
        if lane is None:
            usage = self._usages.pop(key, None) or Usage()
            lane = self._lanes[key] = _Lane(key, usage)
        if not lane.waiting:
            lane.usage.catch_up(self._served_s, self._clock())
        ticket = Ticket(lane, start)
        lane.waiting.append(ticket)
        self._start_next()
        return ticket

    def give_up(self, ticket: Ticket) -> None:
        """Nobody waits for this run any more. Nothing if it has ended."""
        if ticket.state == "waiting":
            ticket.lane.waiting.remove(ticket)
            ticket.state = "gone"
        elif ticket.state == "running":
            self._count_running(ticket.lane, -1)
            ticket.lane.given_up += 1
            self._given_up += 1
            ticket.state = "given_up"
        self._tidy_and_go_on(ticket.lane)

    def join(self, ticket: Ticket, other: Ticket) -> None:
        """This waiting run is done by `other`, which is running in the same lane."""
        assert ticket.state == "waiting"
        assert other.state == "running"
        assert ticket.lane is other.lane
        ticket.lane.waiting.remove(ticket)
        ticket.state = "gone"
        other.taken_along += 1

    def leave(self, ticket: Ticket) -> None:
        """This run's thread is free."""
        callers = 0
        if ticket.state == "running":
            callers = 1 + ticket.taken_along
            self._count_running(ticket.lane, -1)
        else:
            ticket.lane.given_up -= 1
            self._given_up -= 1
        ticket.state = "gone"
        usage = ticket.lane.usage
        usage.end(ticket.began, self._clock(), callers=callers)
        usage.forgive(self._served_s + _MOST_AHEAD_S)
        self._tidy_and_go_on(ticket.lane)

    def close(self) -> None:
        """Starts no more runs."""
        self._closed = True

    def _start_next(self) -> None:
        while not self._closed:
            now = self._clock()
            lane = self._next(now)
            if lane is None:
                return
            ticket = lane.waiting.popleft()
            self._served_s = max(self._served_s, lane.usage.at(now))
            self._count_running(lane, 1)
            lane.usage.begin(now)
            # Among equals, the one just served comes last.
            self._lanes[lane.key] = self._lanes.pop(lane.key)
            ticket.state, ticket.began = "running", now
            ticket.start(ticket)

    def _next(self, now: float) -> _Lane | None:
        able = [
            lane
            for lane in self._lanes.values()
            if lane.waiting and self._has_thread_for(lane)
        ]
        return min(able, key=lambda lane: self._rank(lane, now), default=None)

    def _rank(self, lane: _Lane, now: float) -> tuple[float, int, bool]:
        """By what it will have had after one more run, so that among those who had as
        much the shortest run goes first."""
        next_s = min(lane.usage.average_s, _MOST_AHEAD_S)
        return lane.usage.at(now) + next_s, lane.running, lane.is_background

    def _has_thread_for(self, lane: _Lane) -> bool:
        if self._running + self._given_up >= self._most_threads:
            return False
        if lane.running + lane.given_up >= self._most_threads_of_lane:
            return False
        if lane.is_background and self._background >= self._most_background:
            return False
        may_exceed = not lane.is_background and lane.running == 0
        return self._running < self.threads + may_exceed

    def _count_running(self, lane: _Lane, change: int) -> None:
        lane.running += change
        self._running += change
        if lane.is_background:
            self._background += change

    def _tidy_and_go_on(self, lane: _Lane) -> None:
        # A caller may look back at a lane that went, and has a successor by now.
        if lane.is_empty and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
            self._remember(lane)
        self._start_next()

    def _remember(self, lane: _Lane) -> None:
        """Keeps what a lane had beyond the others, while there are others."""
        if not self._lanes:
            self._usages.clear()
            self._served_s = 0.0
            return
        now = self._clock()
        self._usages[lane.key] = lane.usage
        self._usages = {
            key: usage
            for key, usage in self._usages.items()
            if usage.at(now) > self._served_s
        }
