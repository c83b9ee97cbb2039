"""Text files by pieces of whole records, and their cut into spans."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

import numpy as np

from app.datasets.base import Span
from app.datasets.limits import MIB, FileLimits
from app.datasets.text_records import Ends, FindEnds
from app.engine.values import Array
from app.errors import InvalidRequest
from app.kit.offload import Check


class Piece(NamedTuple):
    """Whole records. `offset` is where `data` stands in the file, `first_line` the
    number of its first line."""

    data: bytes
    offset: int
    first_line: int
    ends: Ends

    def starts(self) -> Array:
        return np.concatenate([[0], self.ends.records[:-1]])

    def lines(self) -> Array:
        """The number of the line on which each record begins."""
        before = np.searchsorted(self.ends.lines, self.starts(), side="right")
        return before + self.first_line


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a file, from a record's start to a record's end."""

    start: int
    end: int
    first_line: int


def pieces(
    file: BinaryIO, extent: Extent, find_ends: FindEnds, limits: FileLimits
) -> Iterator[Piece]:
    """Raises InvalidRequest for a record that is longer than the limit."""
    file.seek(extent.start)
    offset, line, left = extent.start, extent.first_line, extent.end - extent.start
    carried = b""
    while left or carried:
        # A long record is gone through again each time more of it comes, and given up
        # with the first byte that is too much.
        most = limits.line_bytes + 1 - len(carried)
        fresh = file.read(min(left, max(limits.block_bytes, len(carried)), most))
        left = left - len(fresh) if fresh else 0
        data = carried + fresh
        ends = find_ends(data, not left)
        _check_lengths(data, ends, line, limits)
        if not len(ends.records):
            carried = data
            continue
        cut = int(ends.records[-1])
        carried = data[cut:]
        yield Piece(data[:cut], offset, line, ends)
        offset, line = offset + cut, line + len(ends.lines)


def _check_lengths(data: bytes, ends: Ends, line: int, limits: FileLimits) -> None:
    if len(data) <= limits.line_bytes:
        return
    bounds = np.concatenate([[0], ends.records, [len(data)]])
    too_long = np.flatnonzero(np.diff(bounds) > limits.line_bytes)
    if len(too_long):
        at = np.searchsorted(ends.lines, bounds[too_long[0]], side="right")
        raise too_long_row(line + int(at), limits)


def too_long_row(line: int, limits: FileLimits) -> InvalidRequest:
    return InvalidRequest(
        f"line {line}: the row has more than {limits.line_bytes // MIB} MiB, the limit; "
        f"a quote may stand open there, or the lines may end in something else than a "
        f"newline."
    )


def plan_text(
    file: BinaryIO,
    extent: Extent,
    find_ends: FindEnds,
    chunk_rows: int,
    limits: FileLimits,
    check: Check,
) -> list[Span]:
    """Spans of at most `chunk_rows` records and, unless a record is longer, of at most
    `limits.span_bytes`."""
    cutter = _Cutter(extent, chunk_rows, limits.span_bytes)
    # What fits into the processor's cache takes half the time.
    small = replace(limits, block_bytes=min(limits.block_bytes, MIB))
    for piece in pieces(file, extent, find_ends, small):
        cutter.take(piece)
        check()
    return cutter.finish()


class _Cutter:
    def __init__(self, extent: Extent, chunk_rows: int, span_bytes: int) -> None:
        self._chunk_rows = chunk_rows
        self._span_bytes = span_bytes
        self._spans: list[Span] = []
        # Of the span that is open.
        self._start, self._line, self._rows = extent.start, extent.first_line, 0
        self._end = extent.start

    def take(self, piece: Piece) -> None:
        ends = piece.ends.records
        at = 0
        while at < len(ends):
            room = self._start + self._span_bytes - piece.offset
            fitting = int(np.searchsorted(ends, room, side="right"))
            stop = min(at + self._chunk_rows - self._rows, max(fitting, at))
            if stop == at and not self._rows:
                stop = at + 1
            if stop > at:
                self._rows += min(stop, len(ends)) - at
                self._end = piece.offset + int(ends[min(stop, len(ends)) - 1])
            if stop < len(ends):
                self._close(piece)
            at = stop

    def finish(self) -> list[Span]:
        if self._rows:
            self._spans.append(Span(self._start, self._end, self._line, self._rows))
        return self._spans

    def _close(self, piece: Piece) -> None:
        """The next span begins where this one ends."""
        self._spans.append(Span(self._start, self._end, self._line, self._rows))
        cut = self._end - piece.offset
        before = int(np.searchsorted(piece.ends.lines, max(cut, 0), side="right"))
        self._start, self._rows = self._end, 0
        self._line = piece.first_line + before
