import pytest

from bench.figures import Figures, LoadFailed, of_latencies
from bench.lines import Line, line_of
from bench.rounds import Goal, loads_of, run_rounds
from bench.subjects import Load

OURS, THEIRS = Load("ours", "v2-json", 32), Load("theirs", "v2-json", 32)


def figures(per_second: float, *, errors: int = 0, elsewhere: float = 0) -> Figures:
    return Figures(per_second, 1, 2, 3, 4, 100, errors, 1.0, elsewhere)


class Scripted:
    """Gives its figures in turn; every second measurement is a warm-up."""

    def __init__(self, *given: Figures) -> None:
        self._given = list(given)
        self.checks: list[str] = []

    def check(self, form: str) -> None:
        self.checks.append(form)

    def measure(self, load: Load, seconds: float) -> Figures:
        return self._given.pop(0)


def test_a_ratio_is_the_median_of_ratios_within_rounds() -> None:
    goal = Goal("speed", OURS, THEIRS, at_least=0.7)
    rounds = {
        OURS: [figures(70), figures(900), figures(10)],
        THEIRS: [figures(100), figures(1000), figures(5)],
    }
    assert goal.ratio(rounds) == pytest.approx(0.9)
    line = line_of(goal, rounds)
    assert (line.ours, line.theirs, line.compared) == (70, 100, 0.9)
    assert line.met


def test_a_goal_is_met_up_to_its_bound() -> None:
    lower = [Line("speed", "x", 1, ratio, at_least=0.7) for ratio in (0.69, 0.7, 2)]
    upper = [Line("latency", "x", 1, ratio, at_most=1.4) for ratio in (1, 1.4, 1.41)]
    assert [line.met for line in lower] == [False, True, True]
    assert [line.met for line in upper] == [True, True, False]


def test_a_load_is_repeated_while_others_use_the_machine() -> None:
    subject = Scripted(figures(0), figures(1, elsewhere=0.9), figures(2, elsewhere=0.1))
    found = run_rounds({"ours": subject}, [OURS], rounds=1, seconds=1)
    assert [one.per_second for one in found[OURS]] == [2]


def test_of_disturbed_loads_the_least_disturbed_counts() -> None:
    subject = Scripted(
        figures(0),
        figures(1, elsewhere=0.9),
        figures(2, elsewhere=0.5),
        figures(3, elsewhere=0.7),
    )
    found = run_rounds({"ours": subject}, [OURS], rounds=1, seconds=1)
    assert [one.per_second for one in found[OURS]] == [2]


def test_answers_are_checked_before_and_after_the_rounds() -> None:
    subject = Scripted(*[figures(1)] * 4)
    run_rounds({"ours": subject}, [OURS], rounds=2, seconds=1)
    assert subject.checks == ["v2-json", "v2-json"]


def test_a_load_with_failed_requests_has_no_figures() -> None:
    subject = Scripted(figures(1), figures(1, errors=1))
    with pytest.raises(LoadFailed, match="1 of 100 failed"):
        run_rounds({"ours": subject}, [OURS], rounds=1, seconds=1)


def test_reference_and_ours_are_measured_side_by_side_and_once() -> None:
    goals = [
        Goal("a", OURS, THEIRS, at_least=1),
        Goal("b", Load("ours", "v1-json", 32), THEIRS, at_least=1),
    ]
    assert loads_of(goals) == [THEIRS, OURS, Load("ours", "v1-json", 32)]


def test_percentiles_are_of_single_requests() -> None:
    found = of_latencies([at / 1000 for at in range(1, 101)], 2.0, 0)
    assert found.per_second == 50
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (51, 100, 100)
