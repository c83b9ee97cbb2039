"""The page says what the files say, whichever command wrote them."""

from typing import Any

import pytest

from bench.lines import Line
from bench.report import page

MACHINE = {
    "cpu": "A CPU",
    "cores": 2,
    "memory_gib": 24,
    "system": "Linux 6",
    "python": "3.11.7",
    "mlforge": "0.1.0",
    "packages": {"onnxruntime": "1.32.0"},
}


def made(**results: Any) -> dict[str, Any]:
    return {
        "date": "2026-11-24",
        "command": "the command",
        "machine": MACHINE,
        **results,
    }


def compared(*lines: Line) -> dict[str, Any]:
    return made(
        results=[{"row": "tabular", "lines": [line.as_json() for line in lines]}]
    )


def test_a_goal_stands_with_both_figures_its_ratio_and_whether_it_is_met() -> None:
    met = Line("32 at once", "per_second", 9000, 0.75, "prototype", 12000, at_least=0.7)
    missed = Line("one", "p50_ms", 0.3, 1.5, "prototype", 0.2, at_most=1.4)
    text = page([compared(met, missed)])
    assert (
        "| 32 at once | requests/s | 9,000 | prototype | 12,000 | 0.75 | ≥ 0.7 | yes |"
        in text
    )
    assert "| one | p50 ms | 0.3 | prototype | 0.2 | 1.50 | ≤ 1.4 | **no** |" in text


def test_a_figure_without_a_reference_has_no_ratio() -> None:
    text = page([compared(Line("list, p95", "ms", 65, 65, at_most=20))])
    assert "| list, p95 | ms | 65 |  |  |  | ≤ 20 | **no** |" in text


def test_machine_versions_date_and_command_stand_beside_the_figures() -> None:
    text = page([compared(Line("a", "ms", 1, 1, at_most=2))])
    assert "```bash\nthe command\n```" in text
    assert "A CPU, 2 cores, 24 GiB memory; Linux 6; Python 3.11.7" in text
    assert "ONNX Runtime 1.32.0; MLForge 0.1.0; on 2026-11-24." in text


def test_a_soak_that_grew_is_said_to_have_grown() -> None:
    trend = {"early": 100.0, "late": 110.0, "change": 0.1, "flat": False}
    soak = made(
        plan={"seconds": 600, "models": 200},
        answered={"v1": 5, "grpc": 6},
        changes={"loaded": 2},
        wrong=[],
        trends={"rss_mb": trend},
    )
    text = page([soak])
    assert "600 s on 200 models (2 loaded): 11 answers, 0 wrong." in text
    assert "| resident MB | 100.0 | 110.0 | +10.0% | **no** |" in text


def test_results_of_mlforge_bench_are_shown_with_how_callers_arrive() -> None:
    result = {
        "protocol": "grpc",
        "concurrency": 32,
        "rate": 700.0,
        "per_second": 698.2,
        "p50_ms": 0.5,
        "p99_ms": 2.25,
        "errors": 0,
    }
    text = page([made(results=[result])])
    assert "| grpc | 32 | 700/s | 698 | 0.50 | 2.25 | 0 |" in text


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"bench\.compare"):
        page([made(results=[])])
