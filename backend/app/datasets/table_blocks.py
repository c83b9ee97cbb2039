"""Blocks of Parquet and Arrow files: record batches, their columns typed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.codecs.arrow_columns import asked_of, column_values, is_list
from app.codecs.base import Target
from app.codecs.coercion import Column
from app.codecs.features import elements_of
from app.codecs.file_options import FileOptions
from app.datasets.base import Span
from app.datasets.blocks import Block, Fault, is_run
from app.datasets.cell_faults import cell_faults
from app.engine.tensors import ElementType
from app.engine.values import Array

# The batches themselves are bounded already.
_OPTIONS: Final = FileOptions(1 << 62)

# Batches of at most so many rows of a part of a file, with these columns.
Batches = Callable[[Path, Span, int, Sequence[str]], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class TableReader:
    """`columns` are the file's, `included` the fields that the result repeats."""

    target: Target
    columns: tuple[str, ...]
    included: tuple[Any, ...]
    batches: Batches

    def blocks(self, path: Path, span: Span, rows: int) -> Iterator[Block]:
        names = self._wanted()
        line = span.first_line
        for batch in self.batches(path, span, rows, names):
            lines = np.arange(line, line + batch.num_rows)
            line += batch.num_rows
            if batch.num_rows:
                yield TableBlock(self.target, lines, batch, self.included)

    def _wanted(self) -> list[str]:
        """In the file's order. A list `tags` may fill `tags[0]`."""
        wanted = {field.name for field in self.included}
        if self.target.signature.inputs:
            wanted |= feature_columns(self.target)
        # Of no column at all, the rows could not be counted.
        return [n for n in self.columns if n in wanted] or list(self.columns[:1])


def feature_columns(target: Target) -> set[str]:
    """The names of columns that a feature may come from."""
    names = set(elements_of(target))
    return names | {name.partition("[")[0] for name in names if name.endswith("]")}


@dataclass(frozen=True, slots=True)
class TableBlock:
    target: Target
    lines: Array
    batch: Any
    included: tuple[Any, ...]

    @property
    def broken(self) -> Mapping[int, Fault]:
        return {}

    def tensors(self, rows: Array) -> Mapping[str, Array]:
        table = self._features(rows)
        inputs: Mapping[str, Any] = asked_of(table, self.target, _OPTIONS).inputs
        return inputs

    def cell_faults(self, rows: Array) -> Mapping[int, Fault]:
        table = self._features(rows)
        if any(is_list(field.type) for field in table.schema):
            return {}

        def read(name: str, _: ElementType) -> Column:
            return column_values(table.column(name))

        found = cell_faults(read, self.target)
        return {int(rows[at]): fault for at, fault in found.items()}

    def _features(self, rows: Array) -> Any:
        """The columns of these rows that features may come from."""
        if is_run(rows):
            batch = self.batch.slice(int(rows[0]), len(rows))
        else:
            batch = self.batch.take(pa.array(rows))
        known = feature_columns(self.target)
        names = [name for name in batch.schema.names if name in known]
        return pa.Table.from_batches([batch.select(names)])

    def inputs(self) -> Sequence[Any]:
        return [self.batch.column(field.name) for field in self.included]

    def prefixes(self) -> None:
        return None


def missing_columns(schema: Any, target: Target) -> list[str]:
    """Features that neither a column nor a list can fill."""
    names = set(schema.names)
    lists = {field.name for field in schema if is_list(field.type)}
    return [
        name
        for name in elements_of(target)
        if name not in names
        and not (name.endswith("]") and name.partition("[")[0] in lists)
    ]
