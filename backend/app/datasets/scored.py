"""A block's results: what its runs gave, spread over its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from app.codecs.base import Answer
from app.codecs.row_answers import RowOutput, row_outputs
from app.datasets.base import RowError
from app.datasets.blocks import Block, Fault
from app.datasets.output_columns import fit
from app.datasets.result_schema import OutputColumn, ResultSchema
from app.engine.values import Array
from app.errors import NotAcceptable

_ROUNDING: Final = 1e-4


class Ran(NamedTuple):
    """One run: the rows of the block that were in it, in order."""

    rows: Array
    answer: Answer


@dataclass(frozen=True, slots=True)
class Scored:
    """A value in every row of each column, null where the row has none."""

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    errors: Sequence[RowError]
    reasons: Any
    prefixes: Any | None
    count: int

    def batch(self, schema: ResultSchema) -> Any:
        arrays = [*self.inputs, *self.outputs, self.reasons]
        return pa.record_batch(arrays, schema=schema.arrow)


def score_block(
    block: Block, runs: Sequence[Ran], faults: dict[int, Fault], schema: ResultSchema
) -> Scored:
    """`faults` gets those rows too whose outputs do not fit the schema."""
    count = len(block.lines)
    kept, found = _outputs(runs, faults)
    rows = np.concatenate([ran.rows for ran in kept]) if kept else np.empty(0, np.int64)
    columns = [_fitted(column, kept, found, faults) for column in schema.outputs]
    places = _places(rows, faults, count)
    outputs = columns if places is None else [c.take(places) for c in columns]
    errors = [_row_error(block, at, faults[at]) for at in sorted(faults)]
    return Scored(
        block.inputs(),
        outputs,
        errors,
        _reasons(faults, count),
        block.prefixes(),
        count,
    )


def same_outputs(
    block: Block,
    first: Sequence[Ran],
    second: Sequence[Ran],
    columns: Sequence[OutputColumn],
) -> bool:
    """Whether the rows of `first` have the same outputs in `second`, but for rounding."""
    schema = ResultSchema.build((), columns)
    count = sum(len(ran.rows) for ran in first)
    faults: tuple[dict[int, Fault], dict[int, Fault]] = {}, {}
    ours = score_block(block, first, faults[0], schema)
    theirs = score_block(block, second, faults[1], schema)
    rows = pa.array(np.concatenate([ran.rows for ran in first])) if first else []
    pairs = zip(ours.outputs, theirs.outputs, strict=True)
    return bool(count) and all(
        _close(a.take(rows).to_pylist(), b.take(rows).to_pylist()) for a, b in pairs
    )


def _close(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_close, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            _close(left[key], right[key]) for key in left
        )
    if isinstance(left, float) and isinstance(right, float):
        is_nan = left != left and right != right
        return is_nan or isclose(left, right, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    return bool(left == right)


def reason_text(fault: Fault) -> str:
    return f'column "{fault.column}": {fault.reason}' if fault.column else fault.reason


def _outputs(
    runs: Sequence[Ran], faults: dict[int, Fault]
) -> tuple[list[Ran], list[dict[str, RowOutput]]]:
    kept, found = [], []
    for ran in runs:
        try:
            _, outputs = row_outputs(ran.answer)
        except NotAcceptable:
            fault = Fault(None, "the model gave no value for each row")
            faults.update(dict.fromkeys(ran.rows.tolist(), fault))
            continue
        kept.append(ran)
        found.append({output.name: output for output in outputs})
    return kept, found


def _fitted(
    column: OutputColumn,
    runs: Sequence[Ran],
    outputs: Sequence[dict[str, RowOutput]],
    faults: dict[int, Fault],
) -> Any:
    arrays = []
    for ran, named in zip(runs, outputs, strict=True):
        fitted = fit(named[column.output], column)
        arrays.append(fitted.array)
        for at, why in fitted.misfits.items():
            fault = Fault(None, f'output "{column.output}" {why}')
            faults.setdefault(int(ran.rows[at]), fault)
    if not arrays:
        return pa.nulls(0, column.type)
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _places(rows: Array, faults: dict[int, Fault], count: int) -> Any | None:
    """Where each row's values stand, null where it has none; None if in its own place."""
    if not faults and len(rows) == count:
        return None
    places = np.full(count, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    if faults:
        places[list(faults)] = -1
    return pa.array(places, mask=places < 0)


def _reasons(faults: dict[int, Fault], count: int) -> Any:
    if not faults:
        return pa.nulls(count, pa.string())
    reasons: list[str | None] = [None] * count
    for at, fault in faults.items():
        reasons[at] = reason_text(fault)
    return pa.array(reasons, pa.string())


def _row_error(block: Block, at: int, fault: Fault) -> RowError:
    return RowError(int(block.lines[at]), *fault)
