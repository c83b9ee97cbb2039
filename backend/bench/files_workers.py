"""One file job with one worker and with two, beside the plain loop in one process and
in two.

    python -m bench.files_workers [--rows 2000000] [--rounds 3] [--format csv]
        [--concurrency 2] [--out FILE]

The four take turns on the same file; a round's ratio is that of the two within it, and
the median over the rounds is the result. Two loops have half of the rows each. The job
counts from the end of its upload to its own, so with planning and putting together; the
loop from when its processes are ready. Where two loops are not nearly twice as fast as
one, the machine has no two free cores, and two workers can't be either. A worker has
`--concurrency` chunks in hand (`JOB_CONCURRENCY`), so that one alone may use two cores.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from time import perf_counter

from app.enums import FileFormat
from bench import machine
from bench.file_rows import write_rows
from bench.file_sites import Crew, Deployment, apart
from bench.plain_loop import PlainLoop
from tests.exports import load_export

MODEL = "xgboost_18_features"
COUNTS = (1, 2)
BATCH_ROWS = 20_000


def loop_seconds(sources: Sequence[Path], format_: FileFormat) -> float:
    """All of them at once, each in a process."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(len(sources) + 1)
    processes = [
        spawn.Process(target=_loop, args=(source, format_, ready)) for source in sources
    ]
    for process in processes:
        process.start()
    ready.wait()
    began = perf_counter()
    for process in processes:
        process.join()
    took_s = perf_counter() - began
    assert not any(process.exitcode for process in processes)
    return took_s


def _loop(source: Path, format_: FileFormat, ready: Barrier) -> None:
    plain = PlainLoop(load_export(MODEL), format_, BATCH_ROWS)
    ready.wait()
    plain.run(source, source.with_name(f"{source.name}.result"))


def job_seconds(site: Deployment, crew: Crew, source: Path, workers: int) -> float:
    format_ = FileFormat(source.suffix[1:])
    crew.resize(workers)
    job_id = site.submit(source, format_)
    took_s = site.seconds_of(job_id)
    site.delete(job_id)
    return took_s


def measured(options: argparse.Namespace, folder: Path) -> list[dict[str, float]]:
    """Rows per second of each, by round."""
    format_ = FileFormat(options.format)
    export = load_export(MODEL)
    names = tuple(export.feature_names or ())
    whole, half = (folder / f"{name}.{format_}" for name in ("whole", "half"))
    other = folder / f"other.{format_}"
    write_rows(whole, format_, names, options.rows)
    for path in (half, other):
        write_rows(path, format_, names, options.rows // 2)
    rounds = []
    settings = {"job_concurrency": options.concurrency}
    with apart(folder / "site", settings) as (site, crew):
        site.upload(export)
        for _ in range(options.rounds):
            took = {}
            for count in COUNTS:
                sources = [whole] if count == 1 else [half, other]
                crew.resize(0)
                took[f"loop {count}"] = loop_seconds(sources, format_)
                took[f"job {count}"] = job_seconds(site, crew, whole, count)
            rounds.append({name: options.rows / s for name, s in took.items()})
            sys.stdout.write(f"{json.dumps(rounds[-1])}\n")
            sys.stdout.flush()
    return rounds


def page(rounds: list[dict[str, float]], options: argparse.Namespace) -> str:
    def ratio(name: str, to: str) -> str:
        return f"{median(one[name] / one[to] for one in rounds):.2f}"

    lines = [
        f"{options.rows:,} rows of 18 floats, {options.format}, {options.concurrency} chunks in "
        f"hand, {machine.today()}, "
        f"medians of {options.rounds}: {json.dumps(machine.describe())}",
        *(f"{n}: {median(one[n] for one in rounds):,.0f} rows/s" for n in rounds[0]),
        f"two loops beside one: {ratio('loop 2', 'loop 1')}",
        f"two workers beside one: {ratio('job 2', 'job 1')}",
        f"one worker beside one loop: {ratio('job 1', 'loop 1')}",
        f"two workers beside two loops: {ratio('job 2', 'loop 2')}",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.files_workers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", choices=list(FileFormat), default="csv")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        text = page(measured(options, Path(folder)), options)
    if options.out:
        options.out.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
