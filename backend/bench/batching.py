"""What batching gains: callers in a closed loop, in this process, without a server.

    python -m bench.batching MODEL.onnx [--callers 32] [--seconds 4] [--rounds 3]
        [--threads 2] [--session-threads 1] [--lengths 8:128] [--max-rows 64]

Each caller sends one row, and its next when that is answered. `bare` is ONNX Runtime
alone on as many threads, one row a run. All ways take turns, so that what else the
machine does falls on all of them; the median of the rounds is shown.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np

from app.engine.batch_gains import BatchGains
from app.engine.batcher import Batcher, Batching
from app.engine.executor import Executor
from app.engine.loading import load_session
from app.engine.plan import SessionPlan
from app.engine.session import Session
from app.engine.timing import Timing

WAYS: tuple[Batching, ...] = ("off", "on", "auto")
BARE = "bare"
_SHAPES = 64


@dataclass(slots=True)
class Result:
    latencies_s: list[float] = field(default_factory=list)
    batches: Counter[int] = field(default_factory=Counter)
    took_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.took_s

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latencies_s, percent)) * 1000

    @property
    def rows_per_run(self) -> float:
        return self.batches.total() and (
            sum(rows * count for rows, count in self.batches.items())
            / self.batches.total()
        )


Call: TypeAlias = Callable[[dict[str, Any], Result], Awaitable[object]]


def inputs_of(session: Session, lengths: tuple[int, int]) -> list[dict[str, Any]]:
    """One-row inputs; where a later dimension is free too, of lengths in the range."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(_SHAPES):
        free = int(random.integers(lengths[0], lengths[1] + 1))
        row = {}
        for spec in session.signature.inputs:
            shape = [d if isinstance(d, int) else free for d in (spec.shape or ())[1:]]
            dtype = spec.numpy_dtype or np.dtype(np.float32)
            row[spec.name] = np.ones((1, *shape), dtype)
        made.append(row)
    return made


def rotated(names: list[str], by: int) -> list[str]:
    """So that no way is always the first of a round."""
    at = by % len(names)
    return names[at:] + names[:at]


async def closed_loop(
    call: Call,
    rows: list[dict[str, Any]],
    callers: int,
    seconds: float,
) -> Result:
    result = Result()
    started = time.perf_counter()

    async def caller(at: int) -> None:
        while (sent_at := time.perf_counter()) < started + seconds:
            await call(rows[at % len(rows)], result)
            result.latencies_s.append(time.perf_counter() - sent_at)
            at += callers + 1

    await asyncio.gather(*map(caller, range(callers)))
    result.took_s = time.perf_counter() - started
    return result


async def measure(
    args: argparse.Namespace, session: Session
) -> dict[str, list[Result]]:
    rows = inputs_of(session, args.lengths)
    executor = Executor(threads=args.threads)
    batcher = Batcher(executor, max_rows=args.max_rows)
    bare_threads = ThreadPoolExecutor(args.threads)
    loop = asyncio.get_running_loop()

    async def bare(row: dict[str, Any], _result: Result) -> None:
        await loop.run_in_executor(bare_threads, session.run, row, None)

    def batching(way: Batching) -> Call:
        async def call(row: dict[str, Any], result: Result) -> None:
            timing = Timing()
            await batcher.run(
                session, row, None, deadline=None, timing=timing, batching=way
            )
            if timing.leads:
                result.batches[timing.batch_rows or 1] += 1

        return call

    calls: dict[str, Call] = {BARE: bare}
    calls.update({way: batching(way) for way in WAYS})
    # What each way learns, so that none learns from another's runs.
    gains = {name: BatchGains() for name in calls}
    results: dict[str, list[Result]] = {name: [] for name in calls}
    # The first round learns and warms up; it is not shown.
    for round_ in range(args.rounds + 1):
        for name in rotated(list(calls), round_):
            session.gains = gains[name]
            found = await closed_loop(calls[name], rows, args.callers, args.seconds)
            results[name].append(found)
    await batcher.close()
    await executor.close()
    bare_threads.shutdown()
    return {name: found[1:] for name, found in results.items()}


def table(results: dict[str, list[Result]]) -> str:
    lines = [
        "| way | requests/s | of bare | p50 ms | p99 ms | rows a run |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    bare = [each.per_second for each in results[BARE]]
    for name, rounds in results.items():
        per_second = [each.per_second for each in rounds]
        ratio = median(a / b for a, b in zip(per_second, bare, strict=True))
        p50 = median(each.percentile_ms(50) for each in rounds)
        p99 = median(each.percentile_ms(99) for each in rounds)
        rows = median(each.rows_per_run for each in rounds)
        lines.append(
            f"| {name} | {median(per_second):.1f} ({min(per_second):.1f} to "
            f"{max(per_second):.1f}) | {ratio:.2f} | {p50:.2f} | {p99:.2f} "
            f"| {rows or 1:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition(":")
    return int(low), int(high or low)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.batching", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--session-threads", type=int, default=1)
    parser.add_argument("--lengths", type=_range, default=(8, 128))
    parser.add_argument("--max-rows", type=int, default=64)
    parser.add_argument("--no-inline", action="store_true", help="never on the loop")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        Path(folder, "model.onnx").symlink_to(args.model.resolve())
        session = load_session(Path(folder), SessionPlan(args.session_threads))
        if args.no_inline:
            session.costs.distrust()
        sys.stdout.write(table(asyncio.run(measure(args, session))))


if __name__ == "__main__":
    main()
