"""A large file through real deployments: speed, memory, and every row.

    python -m bench.files_big [--rows 10000000] [--format csv ndjson …]
        [--site embedded workers] [--folder DIR] [--out big.json]

Once on SQLite with the process for files beside the server, once on PostgreSQL and
Redis with two workers. Reported are rows per second (from the end of the upload to the
end of the job), the most resident memory of each process while the file is sent, scored
and fetched, in MiB, and of that what no file stands behind. Each result is compared row
by row with ONNX Runtime's own, a few rows of it at a time. Exits with 1 if a row differs.
Of ten million rows, `--folder` needs some 20 GB.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.engine.values import Array
from app.enums import FileFormat
from bench import machine
from bench.file_rows import matrices, read_batches, write_rows
from bench.file_sites import Deployment, apart, embedded
from bench.memory_watch import MemoryWatch
from tests.exports import Export, load_export

MODEL = "xgboost_18_features"
WORKERS = 2


@contextmanager
def with_workers(folder: Path) -> Iterator[Deployment]:
    with apart(folder) as (site, crew):
        crew.resize(WORKERS)
        yield site


SITES = {"embedded": embedded, "workers": with_workers}


def first_difference(
    result: Path, format_: FileFormat, export: Export, rows: int
) -> int | None:
    """The first row, from 0, that is not what ONNX Runtime gives; None if all are."""
    names = list(export.feature_names or ())
    session, at = export.session(), 0
    made = _Made(matrices(rows, len(names)))
    for batch in read_batches(result, format_):
        matrix = made.take(batch.num_rows)
        labels, chances = session.run(None, {"input": matrix})
        wrong = batch.column("error").is_valid().to_numpy(zero_copy_only=False)
        inputs = np.column_stack([batch.column(name) for name in names])
        wrong |= (inputs.astype(np.float32) != matrix).any(axis=1)
        wrong |= batch.column("label").to_numpy() != labels
        found = _chances(batch, chances.shape[1])
        wrong |= ~np.isclose(found, chances, rtol=1e-5, atol=1e-7).all(axis=1)
        if wrong.any():
            return at + int(np.argmax(wrong))
        at += batch.num_rows
    return None if at == rows else at


class _Made:
    """The rows of the file again, as many as are wanted."""

    def __init__(self, matrices: Iterator[Array]) -> None:
        self._matrices = matrices
        self._left: Array | None = None

    def take(self, count: int) -> Array:
        parts = [] if self._left is None else [self._left]
        while sum(map(len, parts)) < count:
            parts.append(next(self._matrices))
        whole = np.concatenate(parts)
        self._left = whole[count:]
        return whole[:count]


def _chances(batch: Any, width: int) -> Array:
    if "probabilities" not in batch.schema.names:
        return np.column_stack(
            [batch.column(f"probabilities[{at}]") for at in range(width)]
        )
    flat: Array = batch.column("probabilities").flatten().to_numpy()
    return flat.reshape(-1, width)


def scored(
    site: Deployment, path: Path, format_: FileFormat, export: Export, rows: int
) -> dict[str, Any]:
    result = path.with_name(f"result.{format_}")
    with MemoryWatch(site.roles).watching() as watch:
        job_id = site.submit(path, format_)
        seconds = site.seconds_of(job_id)
        site.fetch(job_id, result)
    found = {
        "site": site.name,
        "format": format_,
        "rows_per_s": round(rows / seconds),
        "file_mib": path.stat().st_size >> 20,
        "resident_mib": {role: round(peak[0]) for role, peak in watch.peaks.items()},
        "own_mib": {role: round(peak[1]) for role, peak in watch.peaks.items()},
        "first_difference": first_difference(result, format_, export, rows),
    }
    site.delete(job_id)
    result.unlink()
    return found


def run(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    export = load_export(MODEL)
    found = []
    for name in options.format:
        format_ = FileFormat(name)
        path = folder / f"made.{format_}"
        write_rows(path, format_, tuple(export.feature_names or ()), options.rows)
        for site_name in options.site:
            # New processes each time: what one has held it may go on holding.
            with SITES[site_name](folder / f"{site_name}-{format_}") as site:
                site.upload(export)
                found.append(scored(site, path, format_, export, options.rows))
            sys.stdout.write(f"{json.dumps(found[-1])}\n")
            sys.stdout.flush()
        path.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.files_big", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument(
        "--format", nargs="+", choices=list(FileFormat), default=list(FileFormat)
    )
    parser.add_argument("--site", nargs="+", choices=list(SITES), default=list(SITES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = run(options, Path(folder))
    report = {
        "command": machine.command("bench.files_big"),
        "date": machine.today(),
        "machine": machine.describe(),
        "rows": options.rows,
        "pyarrow": pa.__version__,
        "runs": found,
    }
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))
    sys.exit(any(one["first_difference"] is not None for one in found))


if __name__ == "__main__":
    main()
