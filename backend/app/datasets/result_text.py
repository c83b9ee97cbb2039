"""Rows of a result as CSV or NDJSON."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final

import orjson

from app.codecs.csv_rows import quoted
from app.datasets.limits import MIB
from app.datasets.result_schema import ResultSchema
from app.datasets.tables import cut
from app.datasets.texts import (
    csv_cells,
    json_texts,
    output_csv_cells,
    output_json_texts,
)
from app.enums import FileFormat

_PIECE_BYTES: Final = 8 * MIB
_PIECE_CELLS: Final = 1 << 20
TEXTS = frozenset({FileFormat.CSV, FileFormat.NDJSON})


def header(schema: ResultSchema, to: FileFormat) -> str:
    if to is FileFormat.NDJSON:
        return ""
    return ",".join(map(quoted, schema.csv_names())) + "\n"


def text_pieces(
    batch: Any, schema: ResultSchema, to: FileFormat, prefixes: Sequence[str] | None
) -> Iterator[str]:
    """`text_rows` of a few rows at a time: as text, a number takes ten times its
    room."""
    cells = len(schema.inputs) + sum(column.width() for column in schema.outputs) + 1
    at = 0
    for part in cut(batch, _PIECE_BYTES, max(1, _PIECE_CELLS // cells)):
        stop = at + part.num_rows
        some = None if prefixes is None else prefixes[at:stop]
        yield text_rows(part, schema, to, some)
        at = stop


def text_rows(
    batch: Any, schema: ResultSchema, to: FileFormat, prefixes: Sequence[str] | None
) -> str:
    """A line for every row of a record batch. `prefixes` are the lines up to the
    outputs, where they are at hand."""
    write = _csv_rows if to is FileFormat.CSV else _ndjson_rows
    lines = write(batch, schema, prefixes)
    return "\n".join([*lines, ""])


def _csv_rows(
    batch: Any, schema: ResultSchema, prefixes: Sequence[str] | None
) -> Iterable[str]:
    width = len(schema.inputs)
    columns: list[Iterable[str]] = []
    if prefixes is None:
        columns += [csv_cells(array) for array in batch.columns[:width]]
    elif width:
        columns.append(prefixes)
    for array, column in zip(batch.columns[width:-1], schema.outputs, strict=True):
        columns += output_csv_cells(array, column)
    reasons = batch.columns[-1]
    if reasons.null_count == batch.num_rows:
        columns.append(repeat("", batch.num_rows))
    else:
        columns.append(csv_cells(reasons))
    return map(",".join, zip(*columns, strict=True))


def _ndjson_rows(
    batch: Any, schema: ResultSchema, prefixes: Sequence[str] | None
) -> Iterable[str]:
    width = len(schema.inputs)
    columns = []
    if prefixes is None:
        pairs = zip(schema.inputs, batch.columns, strict=False)
        columns += [_keyed(field.name, json_texts(array)) for field, array in pairs]
    for array, column in zip(batch.columns[width:-1], schema.outputs, strict=True):
        columns.append(_keyed(column.name, output_json_texts(array, column)))
    columns.append(_keyed(schema.error, json_texts(batch.columns[-1])))
    rows = map(",".join, zip(*columns, strict=True))
    if prefixes is None:
        return [f"{{{row}}}" for row in rows]
    return [
        f"{prefix}{row}}}" if prefix == "{" else f"{prefix},{row}}}"
        for prefix, row in zip(prefixes, rows, strict=True)
    ]


def _keyed(name: str, texts: Sequence[str]) -> list[str]:
    key = orjson.dumps(name).decode()
    return [f"{key}:{text}" for text in texts]
