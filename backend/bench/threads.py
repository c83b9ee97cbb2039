"""How to share the cores among runs: one caller alone, and many.

    python -m bench.threads [--seconds 2] [--tries 10] [--model conv] [--out FILE]

Each way has a process of its own. `ours` is the engine as it serves, with its executor and
a second copy for lone runs; the others are ONNX Runtime alone, called from as many
threads as there are cores. A figure is measured again while other work takes part of it.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort
import psutil

from app.engine.executor import Executor
from app.engine.loading import MODEL_FILE, load_session
from app.engine.options import session_options
from app.engine.plan import SessionPlan
from app.engine.providers import CPU
from app.engine.session import Session
from app.engine.solo import SoloCopies
from app.kit.cpus import available_cpus
from bench.thread_models import MODELS, Bench

OURS: Final = "ours"
WAYS: Final = ("one thread", "all threads", "all, spinning", "global pool", OURS)
CALLERS: Final = (1, 2, 32)
_COPIES_BYTES: Final = 1 << 30
_WARM_UP_RUNS: Final = 10
# Cores that other work may have had during a round that counts.
_QUIET: Final = 0.1

Run = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Line:
    """`busy_elsewhere` is how many cores others had meanwhile."""

    way: str
    callers: int
    per_second: float
    threads: int
    memory_mb: int
    busy_elsewhere: float


def _bare(way: str, threads: int) -> Any:
    if way == "global pool":
        ort.set_global_thread_pool_sizes(threads, 1)
        options = ort.SessionOptions()
        options.use_per_session_threads = False
        return options
    options = session_options(threads=1 if way == "one thread" else threads)
    if way == "all, spinning":
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    return options


@asynccontextmanager
async def _bare_run(way: str, bench: Bench, threads: int) -> AsyncIterator[Run]:
    session = ort.InferenceSession(
        bench.model, _bare(way, threads), providers=[CPU], enable_fallback=0
    )
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(threads) as pool:
        run = partial(session.run, None, bench.inputs)
        yield lambda: loop.run_in_executor(pool, run)


@asynccontextmanager
async def _our_run(bench: Bench, threads: int) -> AsyncIterator[Run]:
    copies = SoloCopies(threads=threads, memory_bytes=_COPIES_BYTES)
    executor = Executor(threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MODEL_FILE).write_bytes(bench.model)
        session = load_session(Path(folder), SessionPlan(copies=copies))
        run = partial(executor.run, session, bench.inputs, None, deadline=None)
        await _get_copy(session, run)
        yield run
        await executor.close()
        copies.close()


async def _get_copy(session: Session, run: Run) -> None:
    for _ in range(100):
        await run()
        if session.execution.threads_alone > 1:
            return
    raise RuntimeError("the model got no copy: are its runs too short here?")


async def _measure(way: str, bench: Bench, seconds: float) -> list[Line]:
    threads = available_cpus()
    ours = _our_run(bench, threads)
    async with ours if way == OURS else _bare_run(way, bench, threads) as run:
        for _ in range(_WARM_UP_RUNS):
            await run()
        return [await _line(way, run, callers, seconds) for callers in CALLERS]


async def _line(way: str, run: Run, callers: int, seconds: float) -> Line:
    process = psutil.Process()
    began, busy = time.perf_counter(), _busy_s(process)
    runs = 0

    async def call() -> None:
        nonlocal runs
        while time.perf_counter() < began + seconds:
            await run()
            runs += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    took_s = time.perf_counter() - began
    return Line(
        way,
        callers,
        runs / took_s,
        process.num_threads(),
        process.memory_info().rss >> 20,
        max(0.0, (_busy_s(process) - busy) / took_s),
    )


def _busy_s(process: psutil.Process) -> float:
    """Seconds that the machine's cores worked, but not for this process."""
    machine, own = psutil.cpu_times(), process.cpu_times()
    return machine.user + machine.system + machine.steal - own.user - own.system


def _measured(tries: int, model: str, seconds: float) -> list[Line]:
    """Of each way, until it has had a quiet time for all callers or `tries` tries."""
    lines: list[Line] = []
    for _ in range(tries):
        for way in WAYS:
            if not all(_is_quiet(_best(lines, way, callers)) for callers in CALLERS):
                lines += _round(way, model, seconds)
    return lines


def _round(way: str, model: str, seconds: float) -> list[Line]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.threads", "--way", way),
            *("--model", model, "--seconds", str(seconds)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return [Line(**line) for line in json.loads(done.stdout)]


def page(model: str, lines: list[Line]) -> str:
    heads = [f"{callers} at once, runs/s" for callers in CALLERS]
    rows = [f"| {model} | {' | '.join(heads)} | threads | MiB |"]
    rows.append("| --- " * (len(CALLERS) + 3) + "|")
    for way in WAYS:
        best = [line for at in CALLERS if (line := _best(lines, way, at))]
        cells = [f"{line.per_second:.1f}{_mark(line)}" for line in best]
        most = max(line.memory_mb for line in best)
        rows.append(f"| {way} | {' | '.join(cells)} | {best[-1].threads} | {most} |")
    return "\n".join(rows)


def _best(lines: list[Line], way: str, callers: int) -> Line | None:
    mine = [line for line in lines if (line.way, line.callers) == (way, callers)]
    quiet = [line for line in mine if _is_quiet(line)]
    return max(quiet or mine, key=lambda line: line.per_second, default=None)


def _is_quiet(line: Line | None) -> bool:
    return line is not None and line.busy_elsewhere <= _QUIET


def _mark(line: Line) -> str:
    """Of a figure that other work took part of."""
    if _is_quiet(line):
        return ""
    return f" ({line.busy_elsewhere:.1f} cores busy elsewhere)"


def _about() -> str:
    return (
        f"{available_cpus()} CPUs ({platform.machine()}), Python "
        f"{platform.python_version()}, ONNX Runtime {ort.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--model", choices=MODELS, default="conv")
    parser.add_argument("--way", choices=WAYS, help="this way alone, as JSON")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.way:
        bench = MODELS[given.model]()
        lines = asyncio.run(_measure(given.way, bench, given.seconds))
        json.dump([asdict(line) for line in lines], sys.stdout)
        return
    lines = _measured(given.tries, given.model, given.seconds)
    text = f"{_about()}\n\n{page(given.model, lines)}\n"
    if given.out:
        given.out.write_text(text)
    os.write(1, text.encode())


if __name__ == "__main__":
    main()
