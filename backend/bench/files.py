"""A file of rows through the steps of a file job, and through a plain loop.

    python -m bench.files [--rows 1000000] [--rounds 3] [--format csv] [--out FILE]

The loop is what one would write by hand: pyarrow reads, numpy stacks, ONNX Runtime
runs batches of the same size, pyarrow writes the same columns. Each has one process,
one thread of ONNX Runtime and the same file; they take turns. Seconds are those on the
clock, and in brackets those of the CPU, which other work on the machine does not change.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from app.datasets.base import Recipe
from app.enums import FileFormat
from bench.machine import describe, today
from tests.exports import Export, load_export
from tests.services.file_lab import Lab, Model, lab

MODEL = "xgboost_18_features"
_BLOCK_BYTES = 8 << 20
_SEED = 5


@dataclass(frozen=True, slots=True)
class Took:
    wall_s: float
    cpu_s: float


def write_input(path: Path, names: tuple[str, ...], rows: int) -> None:
    """Floats as float32 has them, by pyarrow's own writers."""
    random = np.random.default_rng(_SEED)
    table = pa.table(
        {name: random.standard_normal(rows, dtype=np.float32) for name in names}
    )
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=200_000)


class PlainLoop:
    """`run` reads `source` and writes `out`, durable as ours is."""

    def __init__(self, export: Export, recipe: Recipe) -> None:
        self._session = export.session()
        self._names = list(export.feature_names or ())
        self._rows = recipe.batch_rows
        self._format = recipe.kind.format

    def run(self, source: Path, out: Path) -> None:
        with out.open("wb") as file:
            writer: Any = None
            for batch in self._batches(source):
                scored = self._scored(batch)
                if writer is None:
                    writer = self._writer(file, scored.schema)
                writer.write_table(pa.Table.from_batches([scored]))
            writer.close()
            file.flush()
            os.fsync(file.fileno())

    def _batches(self, source: Path) -> Iterator[Any]:
        if self._format is FileFormat.PARQUET:
            yield from pq.ParquetFile(source).iter_batches(65_536, use_threads=False)
            return
        kinds = dict.fromkeys(self._names, pa.float32())
        yield from pyarrow.csv.open_csv(
            source,
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=kinds),
        )

    def _scored(self, batch: Any) -> Any:
        matrix = np.column_stack([batch.column(name) for name in self._names])
        runs = [
            self._session.run(None, {"input": matrix[at : at + self._rows]})
            for at in range(0, len(matrix), self._rows)
        ]
        labels = np.concatenate([run[0] for run in runs])
        chances = np.concatenate([run[1] for run in runs])
        columns = [*batch.columns, pa.array(labels), *self._spread(chances)]
        names = [*batch.schema.names, "label", *self._spread_names(chances), "error"]
        return pa.record_batch([*columns, pa.nulls(len(matrix), pa.string())], names)

    def _spread(self, chances: Any) -> list[Any]:
        if self._format is FileFormat.CSV:
            return [pa.array(column) for column in chances.T]
        rows, width = chances.shape
        offsets = pa.array(np.arange(rows + 1, dtype=np.int64) * width)
        return [pa.LargeListArray.from_arrays(offsets, pa.array(chances.reshape(-1)))]

    def _spread_names(self, chances: Any) -> list[str]:
        if self._format is FileFormat.CSV:
            return [f"probabilities[{at}]" for at in range(chances.shape[1])]
        return ["probabilities"]

    def _writer(self, file: Any, schema: Any) -> Any:
        if self._format is FileFormat.CSV:
            return pyarrow.csv.CSVWriter(file, schema)
        return pq.ParquetWriter(file, schema)


async def ours(one: Lab, recipe: Recipe, folder: Path) -> Path:
    done = await one.steps(recipe)
    return folder / done.files[0].name


def same(ours: Path, plain: Path, format_: FileFormat) -> bool:
    """Whether both hold the same numbers in the same order."""
    read: Callable[[Path], Any] = (
        pyarrow.csv.read_csv if format_ is FileFormat.CSV else pq.read_table
    )
    first, second = read(ours), read(plain)
    return first.column_names == second.column_names and all(
        _close(first.column(name), second.column(name)) for name in first.column_names
    )


def _close(first: Any, second: Any) -> bool:
    if first.null_count == len(first) == second.null_count:
        return True
    if pa.types.is_large_list(first.type):
        first, second = first.combine_chunks(), second.combine_chunks()
        first, second = first.flatten(), second.flatten()
    return bool(np.allclose(first.to_numpy(), second.to_numpy(), rtol=1e-5, atol=1e-7))


async def rounds(options: argparse.Namespace, folder: Path) -> dict[str, list[Took]]:
    export = load_export(MODEL)
    names = tuple(export.feature_names or ())
    write_input(folder / f"made.{options.format}", names, options.rows)
    data = (folder / f"made.{options.format}").read_bytes()
    found: dict[str, list[Took]] = {"plain loop": [], "file job": []}
    model = Model(export.path.read_bytes(), names)
    async with lab(model, folder) as one:
        recipe = (await one.examine(data, f"rows.{options.format}")).recipe
        del data
        plain = PlainLoop(export, recipe)
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
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
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
