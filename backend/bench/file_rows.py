"""Files of rows to score, made piece by piece, and results read in the same way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from app.engine.values import Array
from app.enums import FileFormat

GROUP_ROWS = 100_000
_BLOCK_BYTES = 8 << 20
_SEED = 5


def matrices(rows: int, width: int) -> Iterator[Array]:
    """The same each time: floats as float32 has them."""
    random = np.random.default_rng(_SEED)
    for start in range(0, rows, GROUP_ROWS):
        shape = (min(GROUP_ROWS, rows - start), width)
        yield random.standard_normal(shape, dtype=np.float32)


def write_rows(
    path: Path, format_: FileFormat, names: tuple[str, ...], rows: int
) -> None:
    """Holds a group of rows at a time."""
    schema = pa.schema([(name, pa.float32()) for name in names])
    with path.open("wb") as file, writer_of(file, format_, schema) as writer:
        for matrix in matrices(rows, len(names)):
            columns = [pa.array(column) for column in matrix.T]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def read_batches(path: Path, format_: FileFormat) -> Iterator[Any]:
    """Record batches of a result, a few rows at a time."""
    if format_ is FileFormat.PARQUET:
        yield from pq.ParquetFile(path).iter_batches(GROUP_ROWS, use_threads=False)
    elif format_ is FileFormat.ARROW:
        with pa.memory_map(str(path)) as file:
            yield from pa.ipc.open_stream(file)
    elif format_ is FileFormat.CSV:
        options = pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
        yield from pyarrow.csv.open_csv(path, read_options=options)
    else:
        read = pyarrow.json.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
        yield from pyarrow.json.open_json(path, read_options=read)


def writer_of(file: Any, format_: FileFormat, schema: Any) -> Any:
    """It takes tables, and leaves the file open."""
    if format_ is FileFormat.CSV:
        return pyarrow.csv.CSVWriter(file, schema)
    if format_ is FileFormat.NDJSON:
        return _NDJSONWriter(file)
    if format_ is FileFormat.ARROW:
        return pa.ipc.new_stream(file, schema)
    return pq.ParquetWriter(file, schema)


class _NDJSONWriter:
    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> "_NDJSONWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        return

    def write_table(self, table: Any) -> None:
        rows = map(orjson.dumps, table.to_pylist())
        self._file.write(b"\n".join([*rows, b""]))
