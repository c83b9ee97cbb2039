"""The first line of a CSV file."""

import os
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from app.codecs.csv_text import cells_of
from app.datasets.limits import FileLimits
from app.datasets.text_pieces import Extent, pieces
from app.datasets.text_records import csv_ends
from app.engine.values import Array
from app.errors import InvalidRequest

BOM: Final = b"\xef\xbb\xbf"
_NEWLINES: Final = b"\r\n"


class Header(NamedTuple):
    names: tuple[str, ...]
    rest: Extent


def whole_text(file: BinaryIO) -> Extent:
    """All of it but the mark that may stand before it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = len(BOM) if file.read(len(BOM)) == BOM else 0
    return Extent(start, size, 1)


def read_header(file: BinaryIO, limits: FileLimits) -> Header:
    """Blank lines before it are skipped."""
    whole = whole_text(file)
    for piece in pieces(file, whole, csv_ends, limits):
        starts = piece.starts().tolist()
        for at, end in enumerate(piece.ends.records.tolist()):
            record = piece.data[starts[at] : end].rstrip(_NEWLINES)
            if record:
                lines = piece.ends.lines
                line = piece.first_line + _count(lines, starts[at])
                after = piece.first_line + _count(lines, end)
                rest = Extent(piece.offset + end, whole.end, after)
                return Header(_names(record, line), rest)
    raise InvalidRequest("The file is empty; send a header and a row at least.")


def _count(ends: Array, until: int) -> int:
    return int(np.searchsorted(ends, until, side="right"))


def _names(record: bytes, line: int) -> tuple[str, ...]:
    try:
        return tuple(cells_of(record))
    except InvalidRequest as error:
        raise InvalidRequest(
            f"line {line}, the header: {error.detail.removeprefix('the row ')}"
        ) from None
