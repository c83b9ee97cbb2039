"""A span of rows: read, run and written, each block while the next is read."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from app.datasets.base import PartSummary, Recipe, Span
from app.datasets.blocks import Block, Decoded, Fault, Reader, decode
from app.datasets.parts import PartWriter
from app.datasets.recipes import block_rows
from app.datasets.result_schema import ResultSchema
from app.datasets.scored import Ran, score_block
from app.kit.offload import Check
from app.kit.own_threads import OwnThreads
from app.serving.row_runs import RowRuns

# Rows done and rows failed of the span, so far.
OnRows = Callable[[int, int], None]

# A block is worth about a second of runs, so that progress is seen.
_BATCHES: Final = 64
_MANY_ROWS: Final = 16_384


class SpanScoring:
    def __init__(
        self,
        reader: Reader,
        runs: RowRuns,
        recipe: Recipe,
        on_rows: OnRows,
        threads: OwnThreads,
    ) -> None:
        self._reader = reader
        self._runs = runs
        self._recipe = recipe
        self._schema = ResultSchema.of(recipe)
        self._on_rows = on_rows
        self._threads = threads

    async def score(self, plain: Path, span: Span, part: Path) -> PartSummary:
        """Writes the part; cancelled, or failing, it leaves nothing behind."""
        batch_rows = self._recipe.batch_rows
        rows = max(batch_rows, min(batch_rows * _BATCHES, _MANY_ROWS))
        writer = await self._threads.run(PartWriter, part, self._recipe)
        blocks = self._reader.blocks(plain, span, block_rows(self._recipe, rows))
        try:
            await self._pass(blocks, writer)
            return await self._threads.run(writer.finish, self._runs.inference_ms)
        except BaseException:
            writer.discard()
            raise

    async def _pass(self, blocks: Iterator[Block], writer: PartWriter) -> None:
        """Three blocks are in hand at most: one read, one run and one written."""
        reading = self._start(_next, blocks)
        writing = self._start(lambda: None)
        try:
            while (decoded := await asyncio.shield(reading)) is not None:
                reading = self._start(_next, blocks)
                runs, faults = await self._runs.run(decoded, self._recipe.batch_rows)
                await asyncio.shield(writing)
                self._on_rows(writer.rows, writer.failed)
                writing = self._start(self._write, writer, decoded, runs, faults)
            await asyncio.shield(writing)
            self._on_rows(writer.rows, writer.failed)
        finally:
            await _ended(reading, writing)

    def _start(self, work: Callable[..., Any], *arguments: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self._threads.run(work, *arguments))

    def _write(
        self,
        writer: PartWriter,
        decoded: Decoded,
        runs: list[Ran],
        faults: dict[int, Fault],
    ) -> None:
        faults = {**decoded.faults, **faults}
        writer.write(score_block(decoded.block, runs, faults, self._schema))


def write_failed(
    check: Check,
    reader: Reader,
    plain: Path,
    span: Span,
    recipe: Recipe,
    part: Path,
    reason: str,
) -> PartSummary:
    """A part in which every row has failed."""
    schema = ResultSchema.of(recipe)
    writer = PartWriter(part, recipe)
    try:
        for block in reader.blocks(plain, span, block_rows(recipe, _MANY_ROWS)):
            check()
            faults = dict.fromkeys(range(len(block.lines)), Fault(None, reason))
            writer.write(score_block(block, [], faults, schema))
        return writer.finish(0.0)
    except BaseException:
        writer.discard()
        raise


def _next(blocks: Iterator[Block]) -> Decoded | None:
    block = next(blocks, None)
    return None if block is None else decode(block)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Threads go on when their tasks are cancelled; so these are not, but waited for."""
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # Looked at, or asyncio reports it as overlooked.
