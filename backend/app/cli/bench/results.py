"""What was measured, as numbers, a table and a document."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from app import __version__
from app.cli.bench.load import Outcome

_PERCENTILES = (50.0, 90.0, 99.0, 100.0)
_COLUMNS = (
    "protocol",
    "callers",
    "rate",
    "req/s",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "max ms",
    "errors",
    "cached",
)


@dataclass(frozen=True, slots=True)
class Result:
    """One load. `rate` is what an open loop asked for; without one it was closed."""

    protocol: str
    concurrency: int
    rate: float | None
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    requests: int
    errors: int
    cached: int


def result_of(
    protocol: str, concurrency: int, rate: float | None, outcomes: Sequence[Outcome]
) -> Result:
    """`outcomes`: of each process that took part."""
    latencies = np.concatenate([np.array(one.latencies_s) for one in outcomes])
    took_s = max(one.took_s for one in outcomes)
    found = [0.0] * 4
    if latencies.size:
        found = [float(ms) for ms in np.percentile(latencies * 1000, _PERCENTILES)]
    p50_ms, p90_ms, p99_ms, max_ms = (round(ms, 4) for ms in found)
    return Result(
        protocol,
        concurrency,
        rate,
        round(latencies.size / took_s, 1),
        p50_ms,
        p90_ms,
        p99_ms,
        max_ms,
        int(latencies.size),
        sum(one.errors for one in outcomes),
        sum(one.cached for one in outcomes),
    )


def table(results: Sequence[Result]) -> str:
    """Columns as wide as their longest cell."""
    rows = [_COLUMNS, *(_cells(result) for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.protocol,
        str(result.concurrency),
        "closed" if result.rate is None else f"{result.rate:,.0f}",
        f"{result.per_second:,.0f}",
        f"{result.p50_ms:.2f}",
        f"{result.p90_ms:.2f}",
        f"{result.p99_ms:.2f}",
        f"{result.max_ms:.2f}",
        f"{result.errors:,}",
        f"{result.cached:,}",
    )


def document(
    results: Sequence[Result], *, command: str, server: str, model: str
) -> dict[str, object]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "server": server,
        "model": model,
        "machine": machine(),
        "results": [asdict(result) for result in results],
    }


def machine() -> dict[str, object]:
    """Of the generator; the server's too where both share one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "mlforge": __version__,
        "uvloop": version("uvloop"),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # Not Linux.
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()
