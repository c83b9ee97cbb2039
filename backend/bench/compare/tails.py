"""How far the slowest requests are from the median one."""

import statistics
from dataclasses import asdict

from app.cli.bench.results import Result
from bench.compare.options import Options
from bench.lines import Found, Line
from bench.own_load import measured
from bench.subjects import Served, mlforge

SHARE = 0.7


def tails(options: Options) -> Found:
    """The generator looks at the clock all the time, so it has a core of its own."""
    with mlforge(options.model("tabular")) as server:
        server.child.thaw()
        server.check("v2-json")
        server.child.thaw()
        rounds = [_round(server, at, options.seconds) for at in range(options.rounds)]
    one = _ratio([results[0] for results in rounds])
    poisson = _ratio([results[-1] for results in rounds])
    return Found(
        [
            Line(
                "Poisson at 70 % of the peak",
                "p99 over p50",
                poisson,
                poisson,
                at_most=5,
            ),
            Line("1 connection", "p99 over p50", one, one, at_most=3),
        ],
        notes={"rounds": [[asdict(one) for one in results] for results in rounds]},
    )


def _round(server: Served, seed: int, seconds: float) -> list[Result]:
    return measured(
        f"http://127.0.0.1:{server.port}",
        "bench",
        seconds=seconds,
        concurrency=(1, 32),
        shares=(SHARE,),
        seed=seed,
    )


def _ratio(results: list[Result]) -> float:
    return round(statistics.median(one.p99_ms / one.p50_ms for one in results), 2)
