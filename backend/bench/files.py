"""A file of rows through the steps of a file job, and through a plain loop.

    python -m bench.files [--rows 1000000] [--rounds 3] [--format csv] [--out FILE]

The loop (`bench/plain_loop.py`) is what one would write by hand. Each has one process,
one thread of ONNX Runtime, batches of the same size and the same file, and makes its
result durable; they take turns. Ours checks every value, names each bad row, and keeps
a typed copy of the result from which other formats are made. Its own process reads and
writes while the model runs; the loop does one thing at a time. Seconds are those on the
clock, and in brackets those of the CPU, which other work on the machine does not change.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pyarrow as pa

from app.datasets.base import Recipe
from app.enums import FileFormat
from bench.file_rows import read_batches, write_rows
from bench.machine import describe, today
from bench.plain_loop import PlainLoop
from tests.exports import load_export
from tests.services.file_lab import Lab, Model, lab

MODEL = "xgboost_18_features"


@dataclass(frozen=True, slots=True)
class Took:
    wall_s: float
    cpu_s: float


async def ours(one: Lab, recipe: Recipe, folder: Path) -> Path:
    done = await one.steps(recipe)
    return folder / done.files[0].name


def same(ours: Path, plain: Path, format_: FileFormat) -> bool:
    """Whether both hold the same numbers in the same order."""
    first, second = (
        pa.Table.from_batches(read_batches(path, format_)) for path in (ours, plain)
    )
    return first.column_names == second.column_names and all(
        _close(first.column(name), second.column(name)) for name in first.column_names
    )


def _close(first: Any, second: Any) -> bool:
    if first.null_count == len(first) == second.null_count:
        return True
    pairs = zip_longest(_numbers(first), _numbers(second))
    return all(np.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in pairs)


def _numbers(column: Any) -> Any:
    whole = column.combine_chunks()
    yield (whole if pa.types.is_primitive(whole.type) else whole.flatten()).to_numpy()


async def rounds(options: argparse.Namespace, folder: Path) -> dict[str, list[Took]]:
    export = load_export(MODEL)
    names = tuple(export.feature_names or ())
    format_ = FileFormat(options.format)
    made = folder / f"made.{format_}"
    write_rows(made, format_, names, options.rows)
    data = made.read_bytes()
    found: dict[str, list[Took]] = {"plain loop": [], "file job": []}
    model = Model(export.path.read_bytes(), names)
    async with lab(model, folder) as one:
        recipe = (await one.examine(data, made.name)).recipe
        del data
        plain = PlainLoop(export, format_, recipe.batch_rows)
        for _ in range(options.rounds):
            began = _now()
            plain.run(folder / "input", folder / "plain-result")
            found["plain loop"].append(_since(began))
            began = _now()
            result = await ours(one, recipe, folder)
            found["file job"].append(_since(began))
        assert same(result, folder / "plain-result", recipe.result_format)
    return found


def _now() -> Took:
    return Took(time.perf_counter(), time.process_time())


def _since(began: Took) -> Took:
    now = _now()
    return Took(now.wall_s - began.wall_s, now.cpu_s - began.cpu_s)


def page(found: dict[str, list[Took]], options: argparse.Namespace) -> str:
    wall = {n: statistics.median(t.wall_s for t in one) for n, one in found.items()}
    cpu = {n: statistics.median(t.cpu_s for t in one) for n, one in found.items()}
    lines = [
        f"{options.rows:,} rows of 18 floats, {options.format}, {today()}, medians of "
        f"{options.rounds}: {json.dumps(describe())}",
        *(f"{n}: {wall[n]:.2f} s ({cpu[n]:.2f} s of CPU)" for n in found),
        f"speed of the file job: {wall['plain loop'] / wall['file job']:.2f} of the "
        f"loop's ({cpu['plain loop'] / cpu['file job']:.2f} by CPU)",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.files", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", choices=list(FileFormat), default="csv")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ort.set_default_logger_severity(4)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(rounds(options, Path(folder)))
    text = page(found, options)
    if options.out:
        options.out.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
