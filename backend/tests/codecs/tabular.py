"""One table in each of the row formats, and one answer out of each of them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from app.codecs.base import Answer, Asked, Decoder, Target
from app.codecs.file_options import FileOptions
from app.codecs.media_types import DECODERS, ENCODERS
from app.codecs.predict_json import PredictJSON
from app.engine.values import Array, Value

CSV = "text/csv"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
NPZ = "application/x-npz"
ROW_TYPES = (NDJSON, CSV, ARROW, PARQUET)
LIMIT = 8 << 20

# A list of values, or an Arrow array, for every column.
Table = Mapping[str, Any]


def decoder(media_type: str, limit_bytes: int = LIMIT) -> Decoder:
    return DECODERS[media_type](FileOptions(limit_bytes))


def from_json(table: Table, target: Target) -> Asked:
    body = orjson.dumps({"rows": [_json_row(row) for row in rows_of(table)]})
    return PredictJSON().decode(body, target)


def encoded(table: Table, media_type: str) -> bytes:
    if media_type == CSV:
        return csv_bytes(table)
    if media_type == NDJSON:
        return b"\n".join(orjson.dumps(_json_row(row)) for row in rows_of(table))
    arrow = pa.table({name: _arrow(values) for name, values in table.items()})
    return arrow_bytes(arrow) if media_type == ARROW else parquet_bytes(arrow)


def csv_bytes(table: Table, *, line: str = "\n", bom: bool = False) -> bytes:
    """Every string quoted, so that the empty one is no null."""
    lines = [[_quoted(name) for name in table]]
    lines += [[_cell(value) for value in row.values()] for row in rows_of(table)]
    text = line.join(map(",".join, lines)) + line
    return (b"\xef\xbb\xbf" if bom else b"") + text.encode()


def arrow_bytes(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    write = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, table.schema, options=write) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def parquet_bytes(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue().to_pybytes())


def npz_bytes(arrays: Mapping[str, Array], *, is_compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    save = np.savez_compressed if is_compressed else np.savez
    save(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def rows_of(table: Table) -> list[dict[str, Any]]:
    return [
        dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)
    ]


def answer_of(outputs: Mapping[str, Value], target: Target, rows: int | None) -> Answer:
    asked = Asked({}, rows=rows)
    return Answer(target, asked, outputs, 1.0, False)


def written(answer: Answer, media_type: str) -> bytes:
    return ENCODERS[media_type].encode(answer).body


def json_rows(answer: Answer) -> list[dict[str, Any]]:
    body = json.loads(PredictJSON().encode(answer).body)
    rows: list[dict[str, Any]] = body["predictions"]
    return rows


def read_csv(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def read_arrow(body: bytes, media_type: str) -> Any:
    source = pa.BufferReader(body)
    if media_type == PARQUET:
        return pq.read_table(source)
    return pa.ipc.open_stream(source).read_all()


def _arrow(values: Sequence[Any]) -> Any:
    """pyarrow takes no integer beyond int64 without being told its type."""
    kinds = set(map(type, values))
    is_large = kinds == {int} and max(values) >= 2**63
    return pa.array(values, pa.uint64() if is_large else None)


def _json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _json(value) for name, value in row.items()}


def _json(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return value


def _quoted(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else repr(value)
