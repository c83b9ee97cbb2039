"""The head of a text file: its columns, its first rows, and how many there may be."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from app.codecs.base import Target
from app.codecs.columns import Sheet, check_names
from app.codecs.features import Row, elements_of
from app.datasets.base import Kind
from app.datasets.blocks import Block, Reader
from app.datasets.csv_blocks import CSVReader
from app.datasets.csv_header import read_header, whole_text
from app.datasets.feature_types import feature_type
from app.datasets.kinds import check_format
from app.datasets.limits import FileLimits
from app.datasets.ndjson_blocks import NDJSONBlock, NDJSONReader, fields_of
from app.datasets.text_pieces import Extent, too_long_row
from app.datasets.text_records import csv_ends, ndjson_ends
from app.datasets.unpacking import unpacked
from app.enums import FileFormat
from app.errors import InvalidRequest, MissingFeatures

_FIRST_BYTES: Final = 1 << 20
# Rows that are enough to tell what a row costs.
_TIMED_ROWS: Final = 2000
_DELIMITER: Final = re.compile(r"[;\t|]")


@dataclass(frozen=True, slots=True)
class TextHead:
    """Whole records from the start of a text file. `fields` are its columns as a
    result repeats them, `rest` is where the first rows stand in `data`, `rows` about
    how many rows all of the file holds."""

    data: bytes
    fields: dict[str, Any]
    rest: Extent
    rows: int

    def block(self, reader: Reader, rows: int) -> Block | None:
        assert isinstance(reader, CSVReader | NDJSONReader)
        file = io.BytesIO(self.data)
        return next(iter(reader.of_file(file, self.rest, rows)), None)


def look_at_text(
    path: Path, kind: Kind, target: Target, limits: FileLimits
) -> TextHead:
    """Raises MissingFeatures with all columns that a CSV file lacks."""
    start = _read_start(path, kind, limits)
    check_format(start.data[:16], kind.format)
    if kind.format is FileFormat.CSV:
        fields, rest = _csv_columns(start.data, target, limits)
    else:
        fields, rest = _ndjson_columns(start.data, target, limits)
    rows = max(round(start.records * start.share) - rest.first_line + 1, 1)
    return TextHead(start.data, fields, rest, rows)


class _Start(NamedTuple):
    """`share` is how many times as much the whole file holds."""

    data: bytes
    records: int
    share: float


def _read_start(path: Path, kind: Kind, limits: FileLimits) -> _Start:
    find_ends = csv_ends if kind.format is FileFormat.CSV else ndjson_ends
    with unpacked(path, kind.compression, limits) as stream:
        data, is_whole = b"", False
        ends = find_ends(data, True)
        cut = 0
        while not is_whole and not _is_enough(len(ends.records), cut, limits):
            if len(data) - cut > limits.line_bytes:
                raise too_long_row(1 + len(ends.lines), limits)
            most = cut + limits.line_bytes + 1 - len(data)
            fresh = stream.read(min(max(_FIRST_BYTES, len(data)), most))
            is_whole = not fresh
            data += fresh
            ends = find_ends(data, is_whole)
            cut = int(ends.records[-1]) if len(ends.records) else 0
        share = 1.0 if is_whole else stream.size_of(path.stat().st_size) / max(cut, 1)
    return _Start(data[:cut], len(ends.records), share)


def _is_enough(records: int, size: int, limits: FileLimits) -> bool:
    """A header and a row there must be."""
    return records > _TIMED_ROWS or (records > 1 and size > limits.block_bytes)


def _csv_columns(
    data: bytes, target: Target, limits: FileLimits
) -> tuple[dict[str, Any], Extent]:
    header = read_header(io.BytesIO(data), limits)
    names = header.names
    _check_count(len(names), limits)
    _check_names(Sheet(names, 1, _unread, _nowhere, "The header"), target)
    elements = elements_of(target)
    fields = {n: pa.field(n, feature_type(elements.get(n))) for n in names}
    return fields, header.rest


def _check_names(sheet: Sheet, target: Target) -> None:
    try:
        check_names(sheet, elements_of(target))
    except MissingFeatures as error:
        if len(sheet.names) > 1 or not _DELIMITER.search(sheet.names[0]):
            raise
        hint = f"{error.detail} Only a comma separates fields."
        raise MissingFeatures(hint, errors=error.errors) from None


def _ndjson_columns(
    data: bytes, target: Target, limits: FileLimits
) -> tuple[dict[str, Any], Extent]:
    file = io.BytesIO(data)
    rest = whole_text(file)
    reader = NDJSONReader(
        *(target, (), ()),
        verbatim=False,
        is_whole=False,
        taken=frozenset(),
        limits=limits,
    )
    block = next(iter(reader.of_file(file, rest, limits.sample_rows)), None)
    objects: list[Row] = block.objects if isinstance(block, NDJSONBlock) else []
    fields = fields_of(objects, elements_of(target))
    _check_count(len(fields), limits)
    return fields, rest


def _check_count(columns: int, limits: FileLimits) -> None:
    if columns > limits.columns:
        raise InvalidRequest(
            f"The file has {columns} columns; at most {limits.columns} are taken."
        )


def _unread(name: str, _: Any) -> Any:
    raise KeyError(name)


def _nowhere(_at: int, name: str) -> str:
    return name
