"""Which reader a file has, and how it is cut into spans."""

from pathlib import Path
from typing import Final

from app.codecs.base import Target
from app.datasets.arrow_files import arrow_batches, recut_arrow
from app.datasets.base import Recipe, Span
from app.datasets.blocks import Reader
from app.datasets.csv_blocks import CSVReader
from app.datasets.csv_header import read_header, whole_text
from app.datasets.limits import FileLimits
from app.datasets.ndjson_blocks import NDJSONReader
from app.datasets.parquet_files import parquet_batches, plan_parquet
from app.datasets.result_schema import ResultSchema
from app.datasets.table_blocks import TableReader
from app.datasets.tables import given_back
from app.datasets.text_pieces import plan_text
from app.datasets.text_records import csv_ends, ndjson_ends
from app.datasets.unpacking import unpack
from app.engine.signature import Signature
from app.enums import Compression, FileFormat
from app.errors import InvalidRequest
from app.kit.offload import Check

# For rows that are read but not scored.
NO_TARGET = Target("", "", "", Signature((), ()))


def reader_of(recipe: Recipe, target: Target, limits: FileLimits) -> Reader:
    format_ = recipe.kind.format
    schema = ResultSchema.of(recipe)
    is_repeated = recipe.result_format is format_
    is_whole = recipe.included == recipe.columns
    if format_ is FileFormat.CSV:
        fields = schema.inputs
        return CSVReader(target, recipe.columns, fields, is_repeated, is_whole, limits)
    if format_ is FileFormat.PARQUET:
        batches = parquet_batches(limits)
        return TableReader(target, recipe.columns, schema.inputs, batches)
    if format_ is FileFormat.ARROW:
        return TableReader(target, recipe.columns, schema.inputs, arrow_batches)
    taken = frozenset({schema.error, *(column.name for column in schema.outputs)})
    return NDJSONReader(
        *(target, recipe.columns, schema.inputs, is_repeated, is_whole, taken, limits)
    )


def plan_spans(
    check: Check, source: Path, plain: Path, recipe: Recipe, limits: FileLimits
) -> list[Span]:
    """Writes `plain` where the spans can't be read of the source."""
    with given_back():
        spans = _PLANS[recipe.kind.format](check, source, plain, recipe, limits)
    if not spans:
        raise InvalidRequest("The file holds no rows; send at least one.")
    return spans


def _plan_parquet(
    check: Check, source: Path, plain: Path, recipe: Recipe, limits: FileLimits
) -> list[Span]:
    path = _unpacked(check, source, plain, recipe, limits)
    return plan_parquet(path, recipe.chunk_rows, limits, check)


def _plan_arrow(
    check: Check, source: Path, plain: Path, recipe: Recipe, limits: FileLimits
) -> list[Span]:
    whole = plain.with_name(f"{plain.name}.whole")
    try:
        path = _unpacked(check, source, whole, recipe, limits)
        return recut_arrow(path, plain, recipe.chunk_rows, limits, check)
    finally:
        whole.unlink(missing_ok=True)


def _plan_text(
    check: Check, source: Path, plain: Path, recipe: Recipe, limits: FileLimits
) -> list[Span]:
    path = _unpacked(check, source, plain, recipe, limits)
    with path.open("rb") as file:
        if recipe.kind.format is FileFormat.CSV:
            rest, find_ends = read_header(file, limits).rest, csv_ends
        else:
            rest, find_ends = whole_text(file), ndjson_ends
        return plan_text(file, rest, find_ends, recipe.chunk_rows, limits, check)


def _unpacked(
    check: Check, source: Path, plain: Path, recipe: Recipe, limits: FileLimits
) -> Path:
    if recipe.kind.compression is Compression.NONE:
        return source
    unpack(source, plain, recipe.kind.compression, limits, check)
    return plain


_PLANS: Final = {
    FileFormat.CSV: _plan_text,
    FileFormat.NDJSON: _plan_text,
    FileFormat.PARQUET: _plan_parquet,
    FileFormat.ARROW: _plan_arrow,
}
