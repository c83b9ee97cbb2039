"""Makes `docs/PERFORMANCE.md` of what the other commands here wrote.

    python -m bench.report results.json ... --out ../docs/PERFORMANCE.md

Takes the files of `bench.performance`, `bench.compare`, `bench.soak` and `mlforge
bench`, in any order and number. Every number on the page is of one of these files.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]

HEAD = """# Performance

Every number on this page is of a run: the commands are named with what they measured,
and are typed in `backend/` after `make install-dev`. `--models-dir` is a folder made by
`python -m bench.models`, `--venvs` one made by `bench/setup-peers.sh`. Machines differ,
and so do models: ratios travel better than numbers. Measure yours with `mlforge bench`.

Inputs never repeat, so that the cache knows none, except in what is called cached.
Access log off, everything else as it is out of the box. The load generator shares the
machine's cores with the server.

Files of rows, beside a plain loop and by several workers: [jobs-performance.md](jobs-performance.md).
"""

SINGLE = (
    ("upload_ms", "Upload, validate, commit", "{:.0f} ms"),
    ("cold_ms", "First prediction, cold: loads the model", "{:.1f} ms"),
    ("one_p50_ms", "Warm, 1 connection: p50", "{:.2f} ms"),
    ("one_p99_ms", "Warm, 1 connection: p99", "{:.2f} ms"),
    ("many_per_second", "Warm, 32 connections", "{:,.0f} requests/s"),
    ("many_p50_ms", "Warm, 32 connections: p50", "{:.2f} ms"),
    ("many_p99_ms", "Warm, 32 connections: p99", "{:.2f} ms"),
    ("cached_per_second", "Cached, 32 connections", "{:,.0f} requests/s"),
    ("cached_p50_ms", "Cached, 32 connections: p50", "{:.2f} ms"),
    ("direct_us", "ONNX Runtime itself, one run", "{:.1f} µs"),
)

ROWS = {
    "tabular": "Tabular model, beside the prototype and other servers",
    "two-workers": "The same with two workers",
    "one-connection": "One connection",
    "grpc": "gRPC",
    "cache": "Cache",
    "conv": "Convolutions, 3x224x224",
    "encoder": "Encoder with variable lengths",
    "registry": "Large registry",
    "start": "Starting",
    "tail": "Tails",
    "spread": "Connections over two workers",
}


def page(documents: Sequence[Document]) -> str:
    parts = [HEAD]
    for key, section in SECTIONS:
        of_kind = [document for document in documents if kind(document) == key]
        if of_kind:
            parts.append("\n".join(section(of_kind)))
    return "\n".join(parts)


def kind(document: Document) -> str:
    """Which command wrote it."""
    if "single" in document:
        return "performance"
    if "trends" in document:
        return "soak"
    results = document.get("results")
    if isinstance(results, list) and results:
        return "compare" if "row" in results[0] else "bench"
    raise SystemExit("a file is no result of bench.compare and its like")


def _performance(documents: Sequence[Document]) -> Iterator[str]:
    """The newest: one page shows one machine's figures."""
    document = documents[-1]
    yield "## One model: cold, warm, cached\n"
    yield from _made(document)
    yield (
        "An XGBoost classifier of 18 float features (`tests/data/exports/"
        f"{document['model']}.onnx`) by `/api/v1` JSON; medians of three rounds.\n"
    )
    figures = document["single"]
    yield from _table(
        ("what", "measured"),
        ((what, form.format(figures[name])) for name, what, form in SINGLE),
    )
    yield "## Scaling with size\n"
    yield "The same model, many rows a request, 2 connections.\n"
    rows = document["rows_per_second"]
    yield from _table(
        ("rows a request", "rows/s"),
        ((f"{int(size):,}", f"{speed:,.0f}") for size, speed in rows.items()),
    )


def _compare(documents: Sequence[Document]) -> Iterator[str]:
    yield "## Beside bare ONNX Runtime, a bare prototype and other servers\n"
    yield (
        "The prototype (`bench/prototype.py`) is raw ASGI, orjson and ONNX Runtime "
        "without any feature. Ours and the reference take turns; a ratio is the median "
        "over the rounds.\n"
    )
    for document in documents:
        for result in document["results"]:
            yield f"### {ROWS.get(result['row'], result['row'])}\n"
            yield from _made(document)
            yield from _table(
                ("what", "figure", "ours", "beside", "theirs", "ratio", "goal", "met"),
                map(_line, result["lines"]),
            )


def _line(line: Document) -> tuple[str, ...]:
    has_reference = line["reference"] is not None
    return (
        line["what"],
        line["figure"].replace("per_second", "requests/s").replace("_ms", " ms"),
        f"{line['ours']:,}",
        line["reference"] or "",
        f"{line['theirs']:,}" if has_reference else "",
        f"{line['compared']:.2f}" if has_reference else "",
        _goal(line),
        ("yes" if line["met"] else "**no**") if _goal(line) else "",
    )


def _goal(line: Document) -> str:
    bounds = []
    if line["at_least"] is not None:
        bounds.append(f"≥ {line['at_least']:g}")
    if line["at_most"] is not None:
        bounds.append(f"≤ {line['at_most']:g}")
    return ", ".join(bounds)


def _bench(documents: Sequence[Document]) -> Iterator[str]:
    yield "## `mlforge bench`\n"
    for document in documents:
        yield from _made(document)
        yield from _table(
            (
                "protocol",
                "callers",
                "arrive",
                "requests/s",
                "p50 ms",
                "p99 ms",
                "errors",
            ),
            (
                (
                    one["protocol"],
                    str(one["concurrency"]),
                    "closed" if one["rate"] is None else f"{one['rate']:,.0f}/s",
                    f"{one['per_second']:,.0f}",
                    f"{one['p50_ms']:.2f}",
                    f"{one['p99_ms']:.2f}",
                    str(one["errors"]),
                )
                for one in document["results"]
            ),
        )


def _soak(documents: Sequence[Document]) -> Iterator[str]:
    yield "## Soak\n"
    for document in documents:
        yield from _made(document)
        plan, answered = document["plan"], sum(document["answered"].values())
        changes = ", ".join(f"{n:,} {word}" for word, n in document["changes"].items())
        yield (
            f"{plan['seconds']:,.0f} s on {plan['models']} models ({changes}): "
            f"{answered:,} answers, {len(document['wrong'])} wrong.\n"
        )
        yield from _table(
            ("figure", "first third", "last third", "change", "flat"),
            (
                (
                    name.replace("rss_mb", "resident MB"),
                    f"{trend['early']:,}",
                    f"{trend['late']:,}",
                    f"{trend['change']:+.1%}",
                    "yes" if trend["flat"] else "**no**",
                )
                for name, trend in document["trends"].items()
            ),
        )


SECTIONS: tuple[tuple[str, Callable[[Sequence[Document]], Iterator[str]]], ...] = (
    ("performance", _performance),
    ("compare", _compare),
    ("bench", _bench),
    ("soak", _soak),
)


def _made(document: Document) -> Iterator[str]:
    """Command, date, machine and versions of a run."""
    told = document["machine"]
    packages = told.get("packages", {})
    runtime = packages.get("onnxruntime")
    words = [
        f"{told['cpu']}, {told['cores']} cores, {told['memory_gib']} GiB memory",
        told["system"],
        f"Python {told['python']}",
        *([f"ONNX Runtime {runtime}"] if runtime else []),
        f"MLForge {told['mlforge']}",
        f"on {document['date']}",
    ]
    yield f"```bash\n{document['command']}\n```\n"
    yield f"{'; '.join(words)}.\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = page([json.loads(path.read_text()) for path in arguments.results])
    if arguments.out:
        arguments.out.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
