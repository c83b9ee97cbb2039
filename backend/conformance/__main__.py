"""Sends ONNX's backend test cases to a running server and counts what comes back.

    python -m conformance --url http://127.0.0.1:8000 --grpc 127.0.0.1:8001

Ends with 1 if one answer is not what ONNX Runtime itself gives. The server keeps the
models, under names that begin with `onnx.`; give it a data folder of its own.
"""

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime

from app import __version__
from conformance import element_cases
from conformance.cases import KINDS, Case, collect
from conformance.connections import opened_doors
from conformance.report import Report, summary
from conformance.runner import Prepared, Result, prepare, run

TOLD_EACH = 200


def main() -> int:
    options = _options()
    started = time.monotonic()
    cases = _cases(options)
    prepared = prepare(cases)
    _say(f"{len(prepared)} of {len(cases)} cases are reproduced by ONNX Runtime")
    results, doors = asyncio.run(_run(prepared, options))
    report = Report.of_run(
        results,
        doors,
        collected=dict(Counter(case.kind for case in cases)),
        versions={
            "mlforge": __version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    )
    sys.stdout.write(summary(report, results))
    _say(f"{time.monotonic() - started:.0f} s")
    if options.out is not None:
        report.write(options.out)
    return int(any(miss for result in results for miss in result.misses.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--url", required=True, help="http://host:port of the server")
    parser.add_argument("--grpc", help="host:port of its gRPC; left out otherwise")
    parser.add_argument("--match", default="", help="regular expression for names")
    parser.add_argument("--concurrency", type=int, default=6)
    parser.add_argument("--out", type=Path, help="file for the counts, as JSON")
    return parser.parse_args()


def _cases(options: argparse.Namespace) -> list[Case]:
    cases = [*collect(KINDS), *element_cases.collect()]
    return [case for case in cases if re.search(options.match, case.name)]


async def _run(
    prepared: Sequence[Prepared], options: argparse.Namespace
) -> tuple[list[Result], list[str]]:
    finished: list[Result] = []

    def note(result: Result) -> None:
        finished.append(result)
        if len(finished) % TOLD_EACH == 0:
            _say(f"{len(finished)} done")

    async with opened_doors(options.url, options.grpc) as (client, doors):
        results = await run(
            prepared, client, doors, concurrency=options.concurrency, on_result=note
        )
    return results, [door.name for door in doors]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
