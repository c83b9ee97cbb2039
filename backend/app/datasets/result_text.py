"""Rows of a result as CSV or NDJSON."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import orjson
import pyarrow.compute as pc

from app.codecs.csv_rows import quoted
from app.datasets.limits import MIB
from app.datasets.result_schema import ResultSchema
from app.datasets.tables import cut
from app.datasets.texts import (
    constant,
    csv_cells,
    joined,
    json_texts,
    output_csv_cells,
    output_json_texts,
)
from app.enums import FileFormat

_PIECE_BYTES: Final = 8 * MIB
_PIECE_CELLS: Final = 1 << 20
_PIECE_NAME_BYTES: Final = 32 * MIB
TEXTS = frozenset({FileFormat.CSV, FileFormat.NDJSON})


def header(schema: ResultSchema, to: FileFormat) -> str:
    if to is FileFormat.NDJSON:
        return ""
    return ",".join(map(quoted, schema.csv_names())) + "\n"


def text_pieces(
    batch: Any, schema: ResultSchema, to: FileFormat, prefixes: Any | None
) -> Iterator[bytes]:
    """`text_rows` of a few rows at a time: as text, a number takes several times its
    room."""
    at = 0
    for part in cut(batch, _PIECE_BYTES, _piece_rows(schema)):
        some = None if prefixes is None else prefixes.slice(at, part.num_rows)
        yield text_rows(part, schema, to, some)
        at += part.num_rows


def _piece_rows(schema: ResultSchema) -> int:
    """NDJSON repeats the names, which may be long, in every row."""
    names = [field.name for field in schema.inputs]
    for column in schema.outputs:
        names += [column.name, *map(str, column.labels)]
    cells = len(schema.inputs) + sum(column.width() for column in schema.outputs) + 1
    name_bytes = sum(len(name.encode()) for name in names) + 1
    return max(1, min(_PIECE_CELLS // cells, _PIECE_NAME_BYTES // name_bytes))


def text_rows(
    batch: Any, schema: ResultSchema, to: FileFormat, prefixes: Any | None
) -> bytes:
    """A line for every row of a record batch, in UTF-8. `prefixes` are the lines up
    to the outputs, where they are at hand."""
    if not batch.num_rows:
        return b""
    write = _csv_rows if to is FileFormat.CSV else _ndjson_rows
    return _contents(write(batch, schema, prefixes))


def _contents(lines: Any) -> bytes:
    """What an array of strings that nothing was cut of holds together."""
    _, offsets, data = lines.buffers()
    end = int(np.frombuffer(offsets, np.int32)[len(lines)])
    return bytes(data.slice(0, end).to_pybytes())


def _csv_rows(batch: Any, schema: ResultSchema, prefixes: Any | None) -> Any:
    width = len(schema.inputs)
    columns = []
    if prefixes is None:
        columns += [csv_cells(array) for array in batch.columns[:width]]
    elif width:
        columns.append(prefixes)
    for array, column in zip(batch.columns[width:-1], schema.outputs, strict=True):
        columns += output_csv_cells(array, column)
    return joined(*columns, joined(csv_cells(batch.columns[-1]), "\n"), between=",")


def _ndjson_rows(batch: Any, schema: ResultSchema, prefixes: Any | None) -> Any:
    width = len(schema.inputs)
    members = []
    if prefixes is None:
        pairs = zip(schema.inputs, batch.columns, strict=False)
        members += [_member(field.name, json_texts(array)) for field, array in pairs]
    for array, column in zip(batch.columns[width:-1], schema.outputs, strict=True):
        members.append(_member(column.name, output_json_texts(array, column)))
    members.append(_member(schema.error, json_texts(batch.columns[-1])))
    return joined(_begun(prefixes), joined(*members, between=","), "}\n")


def _begun(prefixes: Any | None) -> Any:
    """Up to the first member that follows."""
    if prefixes is None:
        return "{"
    is_empty = pc.equal(prefixes, constant("{"))
    return pc.if_else(is_empty, prefixes, joined(prefixes, ","))


def _member(name: str, texts: Any) -> Any:
    return joined(f"{orjson.dumps(name).decode()}:", texts)
