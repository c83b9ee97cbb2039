"""What a caller chose and what the first rows showed, as a job's recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.datasets.base import FileRequest, Kind, Recipe
from app.datasets.result_schema import OutputColumn, ResultSchema
from app.errors import InvalidRequest

_BATCH_S: Final = 0.02
_BATCH_BYTES: Final = 32 << 20
_BATCH_ROWS: Final = 65_536
_CHUNK_S: Final = 5.0
_CHUNK_ROWS: Final = (100, 200_000)
# A caller's own.
_MOST_CHUNK_ROWS: Final = 10_000_000
_BLOCK_CELLS: Final = 1 << 20
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one row: seconds of its run and of all the rest, the bytes of its tensors,
    and of its line in a result."""

    run_s: float
    rest_s: float
    tensor_bytes: float
    result_bytes: float

    @property
    def row_s(self) -> float:
        return self.run_s + self.rest_s


def first_recipe(kind: Kind, request: FileRequest, fields: Mapping[str, Any]) -> Recipe:
    """Without outputs yet. Raises InvalidRequest where the request does not fit."""
    chunk_rows = request.chunk_rows or 1
    if not 1 <= chunk_rows <= _MOST_CHUNK_ROWS:
        raise InvalidRequest(
            f"chunk_rows is {chunk_rows}; it must be from 1 to {_MOST_CHUNK_ROWS}."
        )
    included = _included(request, fields)
    schema = ResultSchema.build([fields[name] for name in included], ())
    return Recipe(
        kind=kind,
        result_format=request.result_format or kind.format,
        outputs=request.outputs,
        included=included,
        columns=tuple(fields),
        schema=schema.message(),
        widths=(),
        chunk_rows=chunk_rows,
        batch_rows=1,
        on_error=request.on_error,
        max_failed_rows=request.max_failed_rows,
    )


def with_outputs(recipe: Recipe, columns: Sequence[OutputColumn]) -> Recipe:
    schema = ResultSchema.build(ResultSchema.of(recipe).inputs, columns)
    widths = tuple(column.width() for column in columns)
    return replace(recipe, schema=schema.message(), widths=widths)


def sized(
    recipe: Recipe, request: FileRequest, cost: Cost, *, fixed_rows: int | None
) -> Recipe:
    """Batches of about 20 ms, chunks of about 5 s."""
    by_time = int(_BATCH_S / max(cost.run_s, 1e-9))
    by_bytes = int(_BATCH_BYTES / max(cost.tensor_bytes, 1))
    batch_rows = fixed_rows or max(1, min(by_time, by_bytes, _BATCH_ROWS))
    low, high = _CHUNK_ROWS
    chunk_rows = max(low, min(int(_CHUNK_S / max(cost.row_s, 1e-9)), high))
    return replace(
        recipe, batch_rows=batch_rows, chunk_rows=request.chunk_rows or chunk_rows
    )


def block_rows(recipe: Recipe, rows: int) -> int:
    """No more rows than what is held together allows."""
    cells = len(recipe.columns) + sum(recipe.widths)
    return max(1, min(rows, _BLOCK_CELLS // max(cells, 1)))


def _included(request: FileRequest, fields: Mapping[str, Any]) -> tuple[str, ...]:
    names = request.include_inputs.names
    if names is None:
        return tuple(fields)
    for name in names:
        if name not in fields:
            shown = ", ".join(f'"{known[:100]}"' for known in list(fields)[:_SHOWN])
            more = ", …" if len(fields) > _SHOWN else ""
            raise InvalidRequest(
                f'include_inputs names "{name[:100]}", which is no column of the file; '
                f"its columns are {shown}{more}."
            )
    if len(set(names)) != len(names):
        raise InvalidRequest("include_inputs names a column twice.")
    return names
