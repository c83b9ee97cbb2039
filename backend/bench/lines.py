"""What a comparison found: a line for each goal, with its bound."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from bench.rounds import Goal, Rounds, as_json


@dataclass(frozen=True, slots=True)
class Line:
    """A goal and what came of it. `compared` is what the bounds are about: the ratio
    of ours to the reference's, or a figure of ours by itself."""

    what: str
    figure: str
    ours: float
    compared: float
    reference: str | None = None
    theirs: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        if self.at_least is not None and self.compared < self.at_least:
            return False
        return self.at_most is None or self.compared <= self.at_most

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "met": self.met}

    def __str__(self) -> str:
        beside = ""
        if self.reference is not None:
            beside = f" beside {self.theirs:,} of {self.reference}: {self.compared}"
        bounds = [
            f"{word} {bound}"
            for word, bound in (("at least", self.at_least), ("at most", self.at_most))
            if bound is not None
        ]
        text = f"{self.what}: {self.ours:,} {self.figure}{beside}"
        if not bounds:
            return text
        return f"{text} ({', '.join(bounds)}): {'met' if self.met else 'NOT met'}"


@dataclass(frozen=True, slots=True)
class Found:
    lines: list[Line]
    loads: list[dict[str, object]] = field(default_factory=list)
    notes: Mapping[str, object] = field(default_factory=dict)


def found_of(goals: list[Goal], rounds: Rounds) -> Found:
    return Found([line_of(goal, rounds) for goal in goals], as_json(rounds))


def line_of(goal: Goal, rounds: Rounds) -> Line:
    return Line(
        goal.what,
        goal.figure,
        goal.median(rounds, goal.ours),
        round(goal.ratio(rounds), 3),
        goal.reference.subject,
        goal.median(rounds, goal.reference),
        goal.at_least,
        goal.at_most,
    )
