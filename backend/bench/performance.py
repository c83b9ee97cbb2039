"""Measures a server of its own with one model: cold, warm, cached, by size.

    python -m bench.performance --out performance.json [--seconds 5]

Three rounds, and the median of each figure. `bench.report` makes the page of it.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import uvloop

from bench import machine
from bench.http_load import Load, load, request
from tests.exports import Export, load_export
from tests.processes import free_port, wait_until

MODEL = "xgboost_18_features"
ROUNDS = 3
PREDICT = "/api/v1/models/bench/predict"


SIZES = (1, 10, 100, 1_000)


@dataclass(frozen=True, slots=True)
class Round:
    one: Load
    many: Load
    cached: Load
    rows_per_second: dict[int, float]


@dataclass(frozen=True, slots=True)
class Measured:
    upload_ms: float
    cold_ms: float
    direct_us: float
    rounds: list[Round]


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """`mlforge serve` with everything embedded and its access log off."""
    port = free_port()
    environment = os.environ | {
        "PORT": str(port),
        "DATA_DIR": str(folder / "data"),
        "ACCESS_LOG": "false",
        "LOG_LEVEL": "WARNING",
    }
    program = Path(sys.executable).with_name("mlforge")
    process = subprocess.Popen(
        [program, "serve"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _is_ready(port), "the server's readiness")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/api/v1/ready"
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def bodies(export: Export) -> Iterator[bytes]:
    """Requests that never repeat: the row's first number counts up."""
    (name,) = export.input_data
    row = list(export.input_data[name][0])
    for count in itertools.count():
        body = {"input_data": {name: [[count / 1024, *row[1:]]]}}
        yield request(PREDICT, json.dumps(body).encode())


def direct_us(export: Export) -> float:
    """Median microseconds of one ONNX Runtime run in this process."""
    session = export.session()
    (name,) = export.inputs
    feeds = {name: export.inputs[name][:1]}
    times = []
    for _ in range(2000):
        started = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


async def measure(port: int, export: Export, seconds: float) -> Measured:
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        started = time.perf_counter()
        upload = await client.post(
            "/api/v1/models/upload",
            files={"file": export.path.read_bytes()},
            data={"name": "bench"},
        )
        upload.raise_for_status()
        upload_ms = (time.perf_counter() - started) * 1000
        stream = bodies(export)
        started = time.perf_counter()
        body = next(stream).partition(b"\r\n\r\n")[2]
        headers = {"Content-Type": "application/json"}
        answer = await client.post(PREDICT, content=body, headers=headers)
        answer.raise_for_status()
        cold_ms = (time.perf_counter() - started) * 1000
    rounds = [await _round(port, export, stream, seconds) for _ in range(ROUNDS)]
    return Measured(upload_ms, cold_ms, direct_us(export), rounds)


async def _round(
    port: int, export: Export, stream: Iterator[bytes], seconds: float
) -> Round:
    one = await load(port, stream, connections=1, seconds=seconds)
    many = await load(port, stream, connections=32, seconds=seconds)
    same = itertools.repeat(next(stream))
    cached = await load(port, same, connections=32, seconds=seconds)
    by_size = {}
    for size in SIZES:
        batch = await load(
            port, _batches(export, size), connections=2, seconds=seconds / 2
        )
        by_size[size] = batch.per_second * size
    return Round(one, many, cached, by_size)


def _batches(export: Export, size: int) -> Iterator[bytes]:
    (name,) = export.input_data
    row = list(export.input_data[name][0])
    for count in itertools.count():
        rows = [[count + at / size, *row[1:]] for at in range(size)]
        body = json.dumps({"input_data": {name: rows}}).encode()
        yield request(PREDICT, body)


def single(measured: Measured) -> dict[str, float]:
    """Every figure by name; the unit is the name's end."""
    return {
        "upload_ms": measured.upload_ms,
        "cold_ms": measured.cold_ms,
        "direct_us": measured.direct_us,
        "one_p50_ms": _median(measured, lambda one: one.one.percentile_ms(50)),
        "one_p99_ms": _median(measured, lambda one: one.one.percentile_ms(99)),
        "many_per_second": _median(measured, lambda one: one.many.per_second),
        "many_p50_ms": _median(measured, lambda one: one.many.percentile_ms(50)),
        "many_p99_ms": _median(measured, lambda one: one.many.percentile_ms(99)),
        "cached_per_second": _median(measured, lambda one: one.cached.per_second),
        "cached_p50_ms": _median(measured, lambda one: one.cached.percentile_ms(50)),
    }


def by_size(measured: Measured) -> dict[str, float]:
    return {str(size): _median(measured, partial(_rows, size)) for size in SIZES}


def _rows(size: int, one: Round) -> float:
    return one.rows_per_second[size]


def _median(measured: Measured, figure: Callable[[Round], float]) -> float:
    return round(statistics.median(map(figure, measured.rounds)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    export = load_export(MODEL)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as port:
        measured = uvloop.run(measure(port, export, arguments.seconds))
    document = {
        "date": machine.today(),
        "command": machine.command("bench.performance"),
        "machine": machine.describe(),
        "model": MODEL,
        "single": single(measured),
        "rows_per_second": by_size(measured),
    }
    text = json.dumps(document, indent=1) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
