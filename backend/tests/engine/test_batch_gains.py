"""How many rows are run together, of models whose costs are made up here."""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from app.engine.batch_gains import BatchGains

Cost = Callable[[int], float]
WIDE, NARROW = 400, 4


def fixed(rows: int) -> float:
    """What a run costs hardly depends on its rows."""
    return 1e-3 + 1e-6 * rows


def linear(rows: int) -> float:
    return 1e-3 * rows


def a_few(rows: int) -> float:
    """Each row costs less up to four of them."""
    return {1: 8.2e-3, 2: 15.6e-3}.get(rows, 7.2e-3 * rows)


def crowded(rows: int) -> float:
    """Each row costs more the more there are."""
    return 1e-3 * rows * math.sqrt(rows)


def run(
    gains: BatchGains,
    cost: Cost,
    *,
    times: int = 640,
    waiting: int = 64,
    row_bytes: int = WIDE,
) -> Counter[int]:
    """How often it chose how many rows, in the later half."""
    chosen = []
    for _ in range(times):
        rows = gains.choose(row_bytes, waiting)
        gains.record(row_bytes, rows, cost(rows))
        chosen.append(rows)
    return Counter(chosen[times // 2 :])


def usual(chosen: Counter[int]) -> int:
    """The one number of rows that nearly all runs had."""
    ((rows, count),) = chosen.most_common(1)
    assert count >= 0.9 * chosen.total()
    return rows


@pytest.mark.parametrize(
    ("cost", "rows"), [(fixed, 64), (linear, 1), (a_few, 4), (crowded, 1)]
)
def test_as_many_rows_are_run_together_as_make_each_cheaper(
    cost: Cost, rows: int
) -> None:
    assert usual(run(BatchGains(), cost)) == rows


@pytest.mark.parametrize(("gain", "rows"), [(0.03, 1), (0.08, 2)])
def test_a_gain_of_a_few_percent_is_not_worth_a_longer_run(
    gain: float, rows: int
) -> None:
    def cost(rows: int) -> float:
        return 1e-3 * rows * (1 if rows == 1 else 1 - gain)

    assert usual(run(BatchGains(), cost)) == rows


def test_a_model_that_gains_nothing_is_never_run_with_many_rows() -> None:
    assert max(run(BatchGains(), linear)) <= 4


def test_it_is_noticed_when_costs_change() -> None:
    gains = BatchGains()
    assert usual(run(gains, linear)) == 1
    assert usual(run(gains, fixed, times=4000)) == 64
    assert usual(run(gains, linear, times=4000)) == 1


def test_rows_of_each_size_are_judged_apart() -> None:
    gains = BatchGains()
    assert usual(run(gains, linear, row_bytes=WIDE)) == 1
    assert usual(run(gains, fixed, row_bytes=NARROW)) == 64
    assert usual(run(gains, linear, row_bytes=WIDE)) == 1


def test_noise_hides_no_gain() -> None:
    random = np.random.default_rng(5)

    def noisy(rows: int) -> float:
        return float(a_few(rows) * random.uniform(0.8, 1.2)) * (1.3 if rows == 1 else 1)

    assert run(BatchGains(), noisy)[1] < 32


def test_one_interrupted_run_changes_nothing() -> None:
    gains = BatchGains()
    assert usual(run(gains, fixed)) == 64
    gains.record(WIDE, 64, 10.0)
    assert usual(run(gains, fixed, times=64)) == 64


def test_the_first_run_of_a_size_is_not_counted() -> None:
    gains = BatchGains()
    seen: set[int] = set()

    def cold(rows: int) -> float:
        is_first = rows not in seen
        seen.add(rows)
        return 100.0 if is_first else fixed(rows)

    assert usual(run(gains, cold, times=128)) == 64


@pytest.mark.parametrize("waiting", [1, 2, 3, 5, 63])
def test_no_more_rows_are_chosen_than_wait(waiting: int) -> None:
    gains = BatchGains()
    run(gains, fixed)
    chosen = run(gains, fixed, waiting=waiting)
    assert max(chosen) == waiting
