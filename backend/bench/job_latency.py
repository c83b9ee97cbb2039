"""What a running file job costs the predictions that somebody waits for.

    python -m bench.job_latency [--rate 200] [--seconds 6] [--rounds 3] [--out latency.json]

An open loop of single-row predictions at a moderate rate, without and with a file job
that scores the same model, in turns: once with the worker inside the server, once with
`mlforge worker` on PostgreSQL and Redis. The ratio of a round's p99 counts; the median
over the rounds is the result.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench import machine
from tests import graphs
from tests.e2e.file_site import JOBS, SOON_S, Numbers, Site
from tests.live import MLFORGE, LiveServer
from tests.processes import wait_until

JOBS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Round:
    deployment: str
    alone: dict[str, float]
    beside: dict[str, float]
    job_rows_per_s: float

    @property
    def ratio(self) -> float:
        return self.beside["p99"] / self.alone["p99"]


@dataclass(frozen=True, slots=True)
class Load:
    rate: float
    seconds: float
    folder: Path

    def measure(self, url: str) -> dict[str, float]:
        out = self.folder / "load.json"
        command = [
            *(str(MLFORGE), "bench", "line", "--url", url, "--protocols", "v1-json"),
            *("--concurrency", "1", "--seconds", str(self.seconds)),
            *("--rate", str(self.rate), "--out", str(out)),
        ]
        subprocess.run(command, check=True, capture_output=True)
        open_loop = [
            load for load in json.loads(out.read_text())["results"] if load.get("rate")
        ]
        return milliseconds(open_loop[-1])


def milliseconds(load: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(load[f"{name}_ms"]), 3) for name in ("p50", "p99")}


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    server = LiveServer(folder=folder, settings={"access_log": False})
    try:
        model = graphs.affine(width=2, feature_names=["a", "b"])
        file = {"file": ("line.onnx", model)}
        httpx.post(f"{server.url}/api/v1/models/upload", files=file, timeout=60)
        yield server.url
    finally:
        server.close()


@contextmanager
def apart(folder: Path) -> Iterator[str]:
    site = Site(folder, {"inference_threads": 0})
    try:
        site.start_worker().wait_for_log(" started", timeout_s=SOON_S)
        yield site.server.url
    finally:
        site.close()


@contextmanager
def jobs_running(url: str, numbers: Numbers) -> Iterator[list[float]]:
    """One at work and others behind it, cancelled at the end; the rows per second that
    were scored are put into the list."""
    speed: list[float] = []
    with httpx.Client(base_url=url, timeout=60) as client:
        jobs = [submit(client, numbers) for _ in range(JOBS_AT_ONCE)]

        def rows_done() -> int:
            found = (client.get(job).json()["progress"]["rows_done"] for job in jobs)
            return sum(found)

        wait_until(lambda: rows_done() > 0, "the job's work", timeout_s=SOON_S)
        before, began = rows_done(), time.monotonic()
        yield speed
        last = client.get(jobs[-1]).json()["status"]
        assert last in ("queued", "running"), "the file is too short for the load"
        speed.append(round((rows_done() - before) / (time.monotonic() - began)))
        for job in jobs:
            client.post(f"{job}/cancel")


def submit(client: httpx.Client, numbers: Numbers) -> str:
    file = {"file": ("numbers.csv", numbers.content, "text/csv")}
    taken = client.post(JOBS, files=file, data={"model_id": "line"})
    return f"{JOBS}/{taken.json()['id']}"


def run_round(name: str, url: str, load: Load, numbers: Numbers) -> Round:
    alone = load.measure(url)
    with jobs_running(url, numbers) as speed:
        beside = load.measure(url)
    return Round(name, alone, beside, speed[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--only", choices=["embedded", "apart"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    deployments = {"embedded": embedded, "apart": apart}
    rounds: list[Round] = []
    numbers = Numbers(options.rows, options.rows)
    for name, deployment in deployments.items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            load = Load(options.rate, options.seconds, Path(folder))
            with deployment(Path(folder)) as url:
                for _ in range(options.rounds):
                    rounds.append(run_round(name, url, load, numbers))
                    sys.stdout.write(f"{json.dumps(asdict(rounds[-1]))}\n")
                    sys.stdout.flush()
    ratios = {
        name: round(median(r.ratio for r in rounds if r.deployment == name), 2)
        for name in {one.deployment for one in rounds}
    }
    report = {
        "command": machine.command("bench.job_latency"),
        "machine": machine.describe(),
        "p99_ratio": ratios,
        "rounds": [asdict(one) for one in rounds],
    }
    sys.stdout.write(f"{json.dumps(report, indent=1)}\n")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
