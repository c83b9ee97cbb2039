from bench.resources import Sample, Trend, trends
from bench.soak import Plan, soak


def test_a_short_soak_finds_no_wrong_answer() -> None:
    soaked = soak(Plan(seconds=10, models=10, callers=4, sample_s=0.5, workers=1))
    assert soaked.wrong == []
    assert set(soaked.answered) == {"v1", "v2", "binary", "grpc"}
    assert soaked.changes["unloaded"] == soaked.changes["loaded"] > 0
    assert len(soaked.samples) > 5


def test_growth_beyond_the_tolerance_is_not_flat() -> None:
    assert Trend(100, 105).flat
    assert not Trend(100, 106).flat
    assert Trend(100, 60).flat


def test_what_happens_while_it_warms_up_is_not_judged() -> None:
    steady = [Sample(at, 200, 20, 9) for at in range(2, 10)]
    samples = [Sample(0, 50, 5, 2), Sample(1, 60, 6, 3), *steady]
    assert {trend.change for trend in trends(samples).values()} == {0}


def test_a_leak_is_seen_in_each_figure() -> None:
    samples = [Sample(at, 100 + at, 10 + at, 5 + at) for at in range(30)]
    assert not any(trend.flat for trend in trends(samples).values())
