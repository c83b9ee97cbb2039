"""Files scored by what one would write by hand: pyarrow reads, numpy stacks, ONNX
Runtime runs batches, pyarrow writes the same columns.

It checks nothing. Of NDJSON, which pyarrow can't write, orjson writes each row.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from app.enums import FileFormat
from bench.file_rows import writer_of
from tests.exports import Export

_BLOCK_BYTES = 8 << 20
_ROWS = 65_536


class PlainLoop:
    """`run` reads `source` and writes `out`, durable as ours is. It takes a classifier
    with a label and a vector of chances, and one thread."""

    def __init__(self, export: Export, format_: FileFormat, batch_rows: int) -> None:
        self._session = export.session()
        self._names = list(export.feature_names or ())
        self._rows = batch_rows
        self._format = format_

    def run(self, source: Path, out: Path) -> None:
        with out.open("wb") as file:
            writer: Any = None
            for batch in self._batches(source):
                scored = self._scored(batch)
                if writer is None:
                    writer = writer_of(file, self._format, scored.schema)
                writer.write_table(pa.Table.from_batches([scored]))
            writer.close()
            file.flush()
            os.fsync(file.fileno())

    def _batches(self, source: Path) -> Iterator[Any]:
        if self._format is FileFormat.PARQUET:
            yield from pq.ParquetFile(source).iter_batches(_ROWS, use_threads=False)
        elif self._format is FileFormat.ARROW:
            with pa.memory_map(str(source)) as file:
                yield from pa.ipc.open_stream(file)
        else:
            yield from self._text_batches(source)

    def _text_batches(self, source: Path) -> Iterator[Any]:
        if self._format is FileFormat.CSV:
            yield from pyarrow.csv.open_csv(
                source,
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=_BLOCK_BYTES
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self._names, pa.float32())
                ),
            )
            return
        schema = pa.schema([(name, pa.float32()) for name in self._names])
        yield from pyarrow.json.open_json(
            source,
            read_options=pyarrow.json.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES
            ),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema),
        )

    def _scored(self, batch: Any) -> Any:
        matrix = np.column_stack([batch.column(name) for name in self._names])
        runs = [
            self._session.run(None, {"input": matrix[at : at + self._rows]})
            for at in range(0, len(matrix), self._rows)
        ]
        labels = np.concatenate([run[0] for run in runs])
        chances = np.concatenate([run[1] for run in runs])
        columns = [*batch.columns, pa.array(labels), *self._spread(chances)]
        names = [*batch.schema.names, "label", *self._spread_names(chances), "error"]
        return pa.record_batch([*columns, pa.nulls(len(matrix), pa.string())], names)

    def _spread(self, chances: Any) -> list[Any]:
        if self._format is FileFormat.CSV:
            return [pa.array(column) for column in chances.T]
        rows, width = chances.shape
        offsets = pa.array(np.arange(rows + 1, dtype=np.int64) * width)
        return [pa.LargeListArray.from_arrays(offsets, pa.array(chances.reshape(-1)))]

    def _spread_names(self, chances: Any) -> list[str]:
        if self._format is FileFormat.CSV:
            return [f"probabilities[{at}]" for at in range(chances.shape[1])]
        return ["probabilities"]
