"""Mixed load on many models that load and unload, each answer checked.

    python -m bench.soak [--seconds 600] [--models 200] [--out soak.json]

Every model computes k * x + 1 with a k of its own, so that each answer is known. While
callers ask by every protocol, models are unloaded and loaded again, and replaced by
another version with another k. Memory, descriptors and threads of the server are
sampled; growth of more than 5 % after the warm-up is not flat. Exits with 1 if
something was wrong or grew.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import machine
from bench.resources import Sample, Trend, Watcher, trends
from bench.soak_load import Soak
from tests.live import LiveServer


@dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    models: int
    callers: int
    sample_s: float
    workers: int


@dataclass(frozen=True, slots=True)
class Soaked:
    samples: list[Sample]
    answered: Counter[str]
    changes: Counter[str]
    wrong: list[str]

    @property
    def trends(self) -> dict[str, Trend]:
        return trends(self.samples)

    @property
    def good(self) -> bool:
        return not self.wrong and all(trend.flat for trend in self.trends.values())

    def as_json(self) -> dict[str, object]:
        return {
            "good": self.good,
            "trends": {name: trend.as_json() for name, trend in self.trends.items()},
            "answered": dict(self.answered),
            "changes": dict(self.changes),
            "wrong": self.wrong,
            "samples": [asdict(sample) for sample in self.samples],
        }


def soak(plan: Plan) -> Soaked:
    arguments = () if plan.workers == 1 else ("--workers", str(plan.workers))
    with tempfile.TemporaryDirectory() as folder:
        server = LiveServer(
            *arguments,
            folder=Path(folder),
            settings={"access_log": "false", "log_level": "WARNING"},
        )
        try:
            return asyncio.run(_soak(server, plan))
        finally:
            server.close()


async def _soak(server: LiveServer, plan: Plan) -> Soaked:
    watcher = Watcher(server.child.pid)
    load = Soak(server.url, server.grpc_target, plan.models)
    samples: list[Sample] = []
    async with load.opened(plan.callers):
        loop = asyncio.get_running_loop()
        began = loop.time()
        ending = loop.time() + plan.seconds
        running = asyncio.create_task(load.run(ending))
        while not running.done():
            await asyncio.wait({running}, timeout=plan.sample_s)
            samples.append(watcher.sample(loop.time() - began))
        await running
    return Soaked(samples, load.answered, load.changes, load.wrong)


def main() -> None:
    plan, out = _arguments()
    soaked = soak(plan)
    document = {
        "date": machine.today(),
        "command": machine.command("bench.soak"),
        "machine": machine.describe(),
        "plan": asdict(plan),
        **soaked.as_json(),
    }
    if out:
        out.write_text(json.dumps(document, indent=1) + "\n")
    for name, trend in soaked.trends.items():
        verdict = "flat" if trend.flat else "NOT flat"
        sys.stdout.write(
            f"{name}: {trend.early:,} then {trend.late:,} ({trend.change:+.1%}): {verdict}\n"
        )
    sys.stdout.write(
        f"answers: {dict(soaked.answered)}; changes: {dict(soaked.changes)}; "
        f"wrong: {len(soaked.wrong)}\n"
    )
    sys.stdout.write("".join(f"  {each}\n" for each in soaked.wrong))
    sys.exit(0 if soaked.good else 1)


def _arguments() -> tuple[Plan, Path | None]:
    parser = argparse.ArgumentParser(
        prog="bench.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--sample-s", type=float, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    plan = Plan(
        given.seconds, given.models, given.callers, given.sample_s, given.workers
    )
    return plan, given.out


if __name__ == "__main__":
    main()
