"""A look at the head of a file: what its result will be, and about what it costs."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from app.codecs.file_options import FileOptions
from app.codecs.row_answers import row_outputs
from app.datasets.base import Examined, FileRequest, Kind
from app.datasets.blocks import Block, Decoded, Fault, decode
from app.datasets.heads import look_at
from app.datasets.limits import FileLimits
from app.datasets.output_columns import column_of
from app.datasets.readers import reader_of
from app.datasets.recipes import Cost, block_rows, first_recipe, sized, with_outputs
from app.datasets.result_schema import OutputColumn, ResultSchema
from app.datasets.result_text import text_pieces, text_rows
from app.datasets.scored import Ran, Scored, reason_text, same_outputs, score_block
from app.enums import FileFormat
from app.errors import InvalidRequest, NotAcceptable
from app.serving.routes import VersionRecord
from app.serving.row_runs import RowRuns, fixed_rows

# A submit takes about so long at most for its sample.
_SAMPLE_S: Final = 2.0
_QUICK_S: Final = 0.25
_TIMED_ROWS: Final = 2000
_TRIES: Final = 5
_TRIES_S: Final = 0.1
_SINGLES: Final = 8
_SHOWN_ROWS: Final = 10


@dataclass(frozen=True, slots=True)
class _Sample:
    """What was run of the first rows, together unless `is_by_rows`."""

    decoded: Decoded
    runs: list[Ran]
    faults: dict[int, Fault]
    columns: list[OutputColumn]
    is_by_rows: bool
    row_s: float


class Examination:
    def __init__(
        self, record: VersionRecord, runs: RowRuns, limits: FileLimits
    ) -> None:
        self._record = record
        self._runs = runs
        self._limits = limits

    async def of(self, path: Path, kind: Kind, request: FileRequest) -> Examined:
        target = self._record.target
        FileOptions(0, request.outputs).outputs_of(target)
        head = await asyncio.to_thread(look_at, path, kind, target, self._limits)
        recipe = first_recipe(kind, request, head.fields)
        reader = reader_of(recipe, target, self._limits)
        decoded = await self._decoded(head.block(reader, self._limits.sample_rows))
        sample = await self._sampled(decoded)
        recipe = with_outputs(recipe, sample.columns)
        schema = ResultSchema.of(recipe)
        scored = await asyncio.to_thread(
            score_block, decoded.block, sample.runs, sample.faults, schema
        )
        reader = reader_of(recipe, target, self._limits)
        timed = await self._decoded(head.block(reader, block_rows(recipe, _TIMED_ROWS)))
        cost = await self._cost(sample, timed, schema)
        fixed = 1 if sample.is_by_rows else fixed_rows(self._record)
        recipe = sized(recipe, request, cost, fixed_rows=fixed)
        return Examined(
            self._record.id,
            self._record.name,
            self._record.version,
            recipe,
            head.rows,
            round(head.rows * cost.row_s, 3),
            round(head.rows * cost.result_bytes),
            _shown(scored, schema),
        )

    async def _decoded(self, block: Block | None) -> Decoded:
        if block is None:
            raise InvalidRequest("The file holds no rows; send one at least.")
        return await asyncio.to_thread(decode, block)

    async def _sampled(self, decoded: Decoded) -> _Sample:
        """Runs as many rows as the time allows. InvalidRequest if none can be scored."""
        if not len(decoded.rows):
            raise _none_scored(decoded.block, decoded.faults)
        # The first time, the model may have to be loaded.
        await self._runs.run(decoded.some(0, 1), 1)
        began = perf_counter()
        await self._runs.run(decoded.some(0, 1), 1)
        row_s = perf_counter() - began
        count = max(1, min(len(decoded.rows), int(_SAMPLE_S / max(row_s, 1e-9))))
        some = decoded.some(0, count)
        began = perf_counter()
        runs, faults = await self._runs.run(some, count)
        together_s = perf_counter() - began
        columns = _columns(runs)
        is_by_rows = not await self._is_by_batches(some, runs, columns)
        if is_by_rows:
            runs, faults = await self._runs.run(some, 1)
            columns = _columns(runs)
        faults = {**decoded.faults, **faults}
        if not runs:
            raise _none_scored(decoded.block, faults)
        if not is_by_rows:
            row_s = min(row_s, together_s / count)
        return _Sample(some, runs, faults, columns, is_by_rows, row_s)

    async def _is_by_batches(
        self, some: Decoded, runs: list[Ran], columns: list[OutputColumn]
    ) -> bool:
        """Whether rows run together give what each of them gives alone. Where
        validation could not prove it, the sample has to."""
        if self._record.batchable or fixed_rows(self._record):
            return True
        count = min(_SINGLES, len(some.rows))
        if count < 2 or not columns:
            return False
        singles, _ = await self._runs.run(some.some(0, count), 1)
        return same_outputs(some.block, singles, runs, columns)

    async def _cost(
        self, sample: _Sample, timed: Decoded, schema: ResultSchema
    ) -> Cost:
        """Of the first two thousand rows, or of the sample where that took long."""
        is_slow = sample.row_s * len(timed.rows) > _QUICK_S
        if is_slow or not len(timed.rows):
            timed = sample.decoded
        count = len(timed.rows)
        runs, faults, run_s = await self._timed_runs(
            timed, 1 if sample.is_by_rows else count
        )
        return await asyncio.to_thread(
            _cost_of, timed, runs, faults, schema, run_s / count
        )

    async def _timed_runs(
        self, timed: Decoded, batch_rows: int
    ) -> tuple[list[Ran], dict[int, Fault], float]:
        """The fastest of some tries: other work on the machine only ever adds."""
        tries: list[float] = []
        while True:
            began = perf_counter()
            runs, faults = await self._runs.run(timed, batch_rows)
            tries.append(perf_counter() - began)
            if len(tries) == _TRIES or sum(tries) > _TRIES_S:
                return runs, faults, min(tries)


def _cost_of(
    timed: Decoded,
    runs: list[Ran],
    faults: dict[int, Fault],
    schema: ResultSchema,
    run_s: float,
) -> Cost:
    began = perf_counter()
    again = decode(timed.block)
    scored = score_block(timed.block, runs, {**again.faults, **faults}, schema)
    batch, told = scored.batch(schema), scored.prefixes
    size = sum(map(len, text_pieces(batch, schema, FileFormat.CSV, told)))
    rest_s = perf_counter() - began
    held = sum(array.nbytes for array in timed.tensors.values())
    held += sum(array.nbytes for array in scored.outputs)
    return Cost(
        run_s, rest_s / scored.count, held / len(timed.rows), size / scored.count
    )


def _columns(runs: list[Ran]) -> list[OutputColumn]:
    """Raises InvalidRequest naming an output that has no value for each row."""
    try:
        outputs = row_outputs(runs[0].answer)[1] if runs else []
    except NotAcceptable as error:
        name = error.detail.removeprefix('output "').partition('" (')[0]
        raise InvalidRequest(
            f'The model gives no value per row in its output "{name}", so a file can\'t '
            f"be scored with it: choose others with outputs, if it has some that do."
        ) from None
    return [column_of(output) for output in outputs]


def _none_scored(block: Block, faults: dict[int, Fault]) -> InvalidRequest:
    at = min(faults)
    return InvalidRequest(
        f"None of the first {len(block.lines)} rows can be scored; "
        f"line {block.lines[at]}: {reason_text(faults[at])}"
    )


def _shown(scored: Scored, schema: ResultSchema) -> bytes:
    first = scored.batch(schema).slice(0, _SHOWN_ROWS)
    return text_rows(first, schema, FileFormat.NDJSON, None)
