"""Measures MLForge beside its references and writes what it found.

    python -m bench.compare tabular one-connection --models-dir DIR --out results.json

Each figure is the median of rounds in which the servers take turns; a ratio is of one
round. A server whose answers differ from bare ONNX Runtime's has no figures.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from bench import machine, wrk
from bench.compare import caching, heavy, registry, spread, starting, tabular, tails
from bench.compare.options import Options
from bench.lines import Found

ROWS: dict[str, Callable[[Options], Found]] = {
    "tabular": tabular.tabular,
    "two-workers": tabular.two_workers,
    "one-connection": tabular.one_connection,
    "grpc": tabular.grpc,
    "cache": caching.caching,
    "conv": heavy.conv,
    "encoder": heavy.encoder,
    "registry": registry.registry,
    "start": starting.starting,
    "tail": tails.tails,
    "spread": spread.spread,
}


def main() -> None:
    arguments = _arguments()
    trouble = wrk.missing()
    if trouble:
        raise SystemExit(trouble)
    options = Options(
        arguments.models_dir, arguments.venvs, arguments.rounds, arguments.seconds
    )
    results = [_result(name, options) for name in arguments.rows]
    document = {
        "date": machine.today(),
        "command": machine.command("bench.compare"),
        "machine": machine.describe(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "results": results,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")


def _result(name: str, options: Options) -> dict[str, object]:
    found = ROWS[name](options)
    for line in found.lines:
        sys.stdout.write(f"{name}: {line}\n")
    sys.stdout.flush()
    return {
        "row": name,
        "lines": [line.as_json() for line in found.lines],
        "loads": found.loads,
        "notes": dict(found.notes),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="+", choices=list(ROWS))
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--venvs", type=Path, help="the peers' environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
