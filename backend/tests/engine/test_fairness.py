"""Who gets how much of the threads, in simulated time."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count

import pytest

from app.engine.lanes import Lanes, Ticket

COSTLY_S, CHEAP_S = 2.0, 0.002


class Machine:
    """Threads whose runs take as long as their model's always do."""

    def __init__(self, *, threads: int, run_s: dict[str, float]) -> None:
        self.now = 1e6
        self.lanes = Lanes(threads=threads, clock=lambda: self.now)
        self.run_s = run_s
        self.waits_s: dict[str, list[float]] = defaultdict(list)
        self.used_s: dict[str, float] = defaultdict(float)
        self.started: list[str] = []
        self._backlog: Counter[str] = Counter()
        self._callers: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def call(self, model: str, at: float) -> None:
        self._plan(at, partial(self._enter, model))

    def keep_waiting(self, model: str, calls: int) -> None:
        """This model always has so many calls waiting, beside those that run."""
        self._backlog[model] = calls
        for _ in range(calls):
            self._enter(model)

    def keep_calling(self, model: str) -> None:
        """One caller, who calls again once answered."""
        self._callers[model] = 1
        self._enter(model)

    def until(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, happen = heappop(self._events)
            happen()
        self.now = end

    def _plan(self, at: float, happen: Callable[[], None]) -> None:
        heappush(self._events, (at, next(self._order), happen))

    def _enter(self, model: str) -> None:
        start = partial(self._start, model, self.now)
        self.lanes.enter(model, start, background=False)

    def _start(self, model: str, called_at: float, ticket: Ticket) -> None:
        self.started.append(model)
        self.waits_s[model].append(self.now - called_at)
        self._plan(self.now + self.run_s[model], partial(self._end, model, ticket))
        if self._backlog[model]:
            self._plan(self.now, partial(self._enter, model))

    def _end(self, model: str, ticket: Ticket) -> None:
        self.used_s[model] += self.run_s[model]
        self.lanes.leave(ticket)
        if self._callers[model]:
            self._enter(model)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_a_cheap_model_waits_for_one_costly_run_at_most(
    threads: int, seed: int
) -> None:
    chance = random.Random(seed)
    costly = {f"costly{n}": COSTLY_S for n in range(4 * threads)}
    machine = Machine(threads=threads, run_s={**costly, "cheap": CHEAP_S})
    for model in costly:
        machine.keep_waiting(model, chance.randint(1, 5))
    # Each has run once: only then is it known what costs how much.
    machine.until(machine.now + 4 * COSTLY_S + 1)
    begin = machine.now
    for _ in range(200):
        machine.call("cheap", begin + chance.uniform(0, 400))
    machine.until(begin + 500)
    waits_s = machine.waits_s["cheap"]
    assert len(waits_s) == 200
    assert max(waits_s) <= COSTLY_S
    # And so do the costly ones, each in its turn.
    assert min(machine.used_s[model] for model in costly) > 0


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_models_that_always_wait_share_the_time_whatever_a_run_takes(
    threads: int,
) -> None:
    run_s = {"a": 1.0, "b": 0.1, "c": 0.01, "d": 0.3, "e": 0.02, "f": 0.5}
    machine = Machine(threads=threads, run_s=run_s)
    for model in run_s:
        machine.keep_waiting(model, 3 * threads)
    machine.until(machine.now + 600)
    mean_s = sum(machine.used_s.values()) / len(run_s)
    for model in run_s:
        assert machine.used_s[model] == pytest.approx(mean_s, rel=0.1)


def test_a_model_alone_has_every_thread() -> None:
    machine = Machine(threads=3, run_s={"a": 1.0})
    machine.keep_waiting("a", 5)
    machine.until(machine.now + 100.5)
    assert machine.used_s["a"] == 3 * 100


def test_time_that_a_model_did_not_use_is_not_saved_up() -> None:
    machine = Machine(threads=1, run_s={"idle": 1.0, "busy": 1.0, "third": 1.0})
    machine.keep_waiting("busy", 2)
    machine.keep_waiting("third", 2)
    # Now and then one call, never two at a time, so that its lane comes and goes.
    for n in range(10):
        machine.call("idle", machine.now + 20 * n + 0.5)
    machine.until(machine.now + 200)
    machine.started.clear()
    machine.keep_waiting("idle", 2)
    machine.until(machine.now + 15)
    turns = Counter(machine.started)
    assert max(turns.values()) - min(turns.values()) <= 1


def test_a_model_is_not_shut_out_for_as_long_as_its_longest_run_took() -> None:
    machine = Machine(threads=1, run_s={"a": 500.0, "b": 1.0, "c": 1.0})
    for model in "bc":
        machine.keep_waiting(model, 2)
    machine.call("a", machine.now)
    machine.until(machine.now + 600)
    machine.run_s["a"] = 1.0
    machine.call("a", machine.now)
    machine.until(machine.now + 60)
    first_s, second_s = machine.waits_s["a"]
    assert max(first_s, second_s) < 30


def test_runs_going_on_are_charged_before_it_is_known_what_they_take() -> None:
    machine = Machine(threads=6, run_s={"new": 99.0, "known": 0.01, "other": 0.013})
    for model in ("known", "other"):
        machine.keep_waiting(model, 6)
    for second in range(20):
        machine.call("new", machine.now + second)
    machine.until(machine.now + 20)
    assert 1 <= machine.started.count("new") <= 3


def test_a_model_that_comes_and_goes_keeps_account_of_what_it_had() -> None:
    machine = Machine(threads=1, run_s={"a": 0.1, "b": 0.1, "c": 0.1, "guest": 1.0})
    for model in "abc":
        machine.keep_waiting(model, 2)
    machine.keep_calling("guest")
    machine.until(machine.now + 400)
    mean_s = sum(machine.used_s.values()) / 4
    assert machine.used_s["guest"] == pytest.approx(mean_s, rel=0.2)
