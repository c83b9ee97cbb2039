"""A small scorer for files of one number a line: it gives each number doubled.

A line that is no number fails. `hold` stands still in a chunk until it is let go;
`poison` raises for chunks that hold its line.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from app.datasets.base import (
    Kind,
    PartSummary,
    Recipe,
    ResultFile,
    RowError,
    Span,
)
from app.enums import Compression, FileFormat, OnError

SOON_S = 45.0


def recipe(
    *,
    chunk_rows: int = 3,
    on_error: OnError = OnError.RECORD,
    max_failed_rows: int | None = None,
    compression: Compression = Compression.NONE,
) -> Recipe:
    return Recipe(
        kind=Kind(FileFormat.CSV, compression),
        result_format=FileFormat.CSV,
        outputs=None,
        included=(),
        columns=("number",),
        schema=b"",
        widths=(1,),
        chunk_rows=chunk_rows,
        batch_rows=1,
        on_error=on_error,
        max_failed_rows=max_failed_rows,
    )


class NumberScoring:
    def __init__(self) -> None:
        self.runs: Counter[int] = Counter()
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()
        self.troubles: list[Exception] = []

    def hold(self) -> None:
        self.release.clear()

    async def plan(self, source: Path, plain: Path, recipe: Recipe) -> list[Span]:
        return _plan(source, plain, recipe)

    async def score(
        self,
        version_id: str,
        plain: Path,
        span: Span,
        recipe: Recipe,
        part: Path,
        on_rows: Callable[[int, int], None],
    ) -> PartSummary:
        self.runs[span.first_line] += 1
        results, errors = [], []
        for line, number in _lines(plain, span):
            try:
                results.append(f"{int(number) * 2},\n")
            except ValueError:
                errors.append(RowError(line, "number", f"{number!r} is no number"))
                results.append(f",{errors[-1].reason}\n")
            on_rows(len(results), len(errors))
        self.started.set()
        async with asyncio.timeout(2 * SOON_S):
            await self.release.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        return _write(part, results, errors)

    async def fail_rows(
        self, plain: Path, span: Span, recipe: Recipe, part: Path, reason: str
    ) -> PartSummary:
        lines = [line for line, _ in _lines(plain, span)]
        errors = [RowError(line, None, reason) for line in lines]
        return _write(part, [f",{reason}\n" for _ in lines], errors)

    async def assemble(
        self, parts: Sequence[Path], recipe: Recipe, folder: Path, stem: str
    ) -> list[ResultFile]:
        return _assemble(parts, folder, stem)


def _assemble(parts: Sequence[Path], folder: Path, stem: str) -> list[ResultFile]:
    body = b"".join(part.with_suffix(".csv").read_bytes() for part in parts)
    files = [_result(folder, f"{stem}.csv", "text/csv", body)]
    failed = b"".join(part.with_suffix(".errors.ndjson").read_bytes() for part in parts)
    if failed:
        name = f"{stem}.errors.ndjson"
        files.append(_result(folder, name, "application/x-ndjson", failed))
    return files


def doubled(content: bytes) -> bytes:
    """What a result of this content is, worked out apart."""
    rows = content.split()
    return b"".join(
        b"%d,\n" % (2 * int(row))
        if row.isdigit()
        else b",%a is no number\n" % row.decode()
        for row in rows
    )


def _plan(source: Path, plain: Path, recipe: Recipe) -> list[Span]:
    content = source.read_bytes()
    if recipe.kind.compression is not Compression.NONE:
        # What stands for unpacking here.
        content = content.swapcase()
        plain.write_bytes(content)
    lines = content.splitlines(keepends=True)
    spans: list[Span] = []
    start = 0
    for first in range(0, len(lines), recipe.chunk_rows):
        some = lines[first : first + recipe.chunk_rows]
        end = start + sum(map(len, some))
        spans.append(Span(start, end, first + 1, len(some)))
        start = end
    return spans


def _lines(plain: Path, span: Span) -> list[tuple[int, str]]:
    content = plain.read_bytes()[span.start : span.end].decode()
    return list(enumerate(content.splitlines(), span.first_line))


def _write(
    part: Path, results: Sequence[str], errors: Sequence[RowError]
) -> PartSummary:
    part.with_suffix(".csv").write_text("".join(results))
    reasons = [orjson.dumps([one.line, one.reason]) + b"\n" for one in errors]
    part.with_suffix(".errors.ndjson").write_bytes(b"".join(reasons))
    return PartSummary(len(results), len(errors), 1.0, tuple(errors))


def _result(folder: Path, name: str, media_type: str, body: bytes) -> ResultFile:
    (folder / name).write_bytes(body)
    return ResultFile(name, media_type, len(body), hashlib.sha256(body).hexdigest())
