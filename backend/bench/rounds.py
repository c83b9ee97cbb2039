"""Loads in rounds that take turns, and goals that set one load against another."""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Figures, LoadFailed
from bench.subjects import Load, Subject

WARM_UP_S = 1.0
DISTURBED = 0.2  # Cores that others may use before a load is repeated.
TRIES = 3
Rounds = Mapping[Load, Sequence[Figures]]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on ours divided by the reference's, of one figure."""

    what: str
    ours: Load
    reference: Load
    at_least: float | None = None
    at_most: float | None = None
    figure: str = "per_second"

    def ratio(self, rounds: Rounds) -> float:
        """The median over the rounds: both sides of a ratio are of one round."""
        pairs = zip(rounds[self.ours], rounds[self.reference], strict=True)
        return statistics.median(
            ours.value(self.figure) / reference.value(self.figure)
            for ours, reference in pairs
        )

    def median(self, rounds: Rounds, load: Load) -> float:
        measured = rounds[load]
        return round(statistics.median(one.value(self.figure) for one in measured), 4)


def run_rounds(
    subjects: Mapping[str, Subject],
    loads: Sequence[Load],
    *,
    rounds: int,
    seconds: float,
) -> dict[Load, list[Figures]]:
    """Every load once a round, in an order that turns around each time."""
    forms = list(dict.fromkeys((load.subject, load.form) for load in loads))
    for subject, form in forms:
        subjects[subject].check(form)
    found: dict[Load, list[Figures]] = {load: [] for load in loads}
    for number in range(rounds):
        for load in loads if number % 2 == 0 else reversed(loads):
            found[load].append(_measured(subjects[load.subject], load, seconds))
            _say(number, load, found[load][-1])
    for subject, form in forms:
        subjects[subject].check(form)
    return found


def as_json(rounds: Rounds) -> list[dict[str, object]]:
    return [
        {
            "subject": load.subject,
            "form": load.form,
            "connections": load.connections,
            "cached": load.cached,
            "rounds": [figures.as_json() for figures in measured],
        }
        for load, measured in rounds.items()
    ]


def loads_of(goals: Sequence[Goal]) -> list[Load]:
    """What has to be measured, reference and ours side by side."""
    return list(dict.fromkeys(_pairs(goals)))


def _pairs(goals: Sequence[Goal]) -> Iterator[Load]:
    for goal in goals:
        yield goal.reference
        yield goal.ours


def _measured(subject: Subject, load: Load, seconds: float) -> Figures:
    """The least disturbed of a few tries; one is enough on a quiet machine."""
    subject.measure(load, WARM_UP_S)
    tries: list[Figures] = []
    while len(tries) < TRIES and all(one.elsewhere > DISTURBED for one in tries):
        figures = subject.measure(load, seconds)
        if figures.errors:
            raise LoadFailed(f"{load}: {figures.errors} of {figures.requests} failed")
        tries.append(figures)
    return min(tries, key=lambda one: one.elsewhere)


def _say(number: int, load: Load, figures: Figures) -> None:
    sys.stderr.write(
        f"round {number + 1}  {load.subject:24} {load.form:11} {load.connections:3} "
        f"{figures.per_second:10,.0f}/s  p50 {figures.p50_ms:8.3f}  "
        f"p99 {figures.p99_ms:8.3f} ms  server {figures.server:.2f} "
        f"others {figures.elsewhere:.2f} cores\n"
    )
