"""Where the records of text end, without a loop over its lines.

A newline inside of quotes ends nothing. Whether it is inside, the number of quotes
before it tells: as long as each quote stands where the format has one. Where one does
not, lines are gone through one by one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.engine.values import Array

_LF: Final = 10
_CR: Final = 13
_QUOTE: Final = 34
_WINDOW: Final = 1 << 18
# What may stand before the quote that opens a field, and after the one that closes it.
_AROUND: Final = np.zeros(256, dtype=np.bool_)
_AROUND[[ord(","), _LF, _CR, _QUOTE]] = True

# From the start of a field to the end of the line, if that is inside of quotes.
_OPENS: Final = re.compile(
    rb'(?:(?:[^",\r\n][^,\r\n]*+|"(?:[^"]|"")*+")?+,)*+"(?:[^"]|"")*+\Z'
)
_CLOSES: Final = re.compile(rb'(?:[^"]|"")*+"')


@dataclass(frozen=True, slots=True)
class Ends:
    """`records` are the offsets just behind each record that is complete, `lines`
    those behind each line of these."""

    records: Array
    lines: Array


FindEnds = Callable[[bytes, bool], Ends]


def ndjson_ends(data: bytes, is_last: bool) -> Ends:
    codes = np.frombuffer(data, dtype=np.uint8)
    ends = _places(codes, _LF) + 1
    if is_last and data and codes[-1] != _LF:
        ends = np.append(ends, len(data))
    return Ends(ends, ends)


def csv_ends(data: bytes, is_last: bool) -> Ends:
    """`data` begins with a record; `is_last` if nothing follows."""
    codes = np.frombuffer(data, dtype=np.uint8)
    lines = _line_ends(data, codes, is_last=is_last)
    if b'"' not in data:
        return Ends(lines, lines)
    quotes = _places(codes, _QUOTE)
    if _is_well_formed(codes, quotes):
        records = _outside(lines, quotes)
    else:
        records = _scanned(data, lines)
    if is_last and data and not (len(records) and records[-1] == len(data)):
        records = np.append(records, len(data))
    if len(records):
        lines = lines[: np.searchsorted(lines, records[-1], side="right")]
    return Ends(records, lines)


def is_well_quoted(data: bytes) -> bool:
    """Whether each quote opens or closes a field, or stands for one in a field."""
    if b'"' not in data:
        return True
    codes = np.frombuffer(data, dtype=np.uint8)
    quotes = _places(codes, _QUOTE)
    return len(quotes) % 2 == 0 and _is_well_formed(codes, quotes)


def _places(codes: Array, code: int) -> Array:
    """Where it stands: by windows, in half the bytes, as there may be a great many."""
    found = [
        (np.flatnonzero(codes[at : at + _WINDOW] == code) + at).astype(np.int32)
        for at in range(0, len(codes), _WINDOW)
    ]
    return np.concatenate(found) if found else np.empty(0, np.int32)


def _outside(lines: Array, quotes: Array) -> Array:
    """The ends of lines that have an even number of quotes before them."""
    found = []
    for at in range(0, len(lines), _WINDOW):
        some = lines[at : at + _WINDOW]
        found.append(some[np.searchsorted(quotes, some) % 2 == 0])
    return np.concatenate(found) if found else lines


def _line_ends(data: bytes, codes: Array, *, is_last: bool) -> Array:
    ends = _places(codes, _LF) + 1
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        returns = _places(codes, _CR)
        # At the very end, its other half may be yet to come.
        inner = returns[returns < len(data) - 1]
        alone = inner[codes[inner + 1] != _LF] + 1
        ends = np.sort(np.concatenate([ends, alone]))
    if is_last and len(data) and not (len(ends) and ends[-1] == len(data)):
        ends = np.append(ends, len(data))
    return ends


def _is_well_formed(codes: Array, quotes: Array) -> bool:
    opening, closing = quotes[::2], quotes[1::2]
    before = opening[opening > 0] - 1
    behind = closing[closing < len(codes) - 1] + 1
    return bool(_AROUND[codes[before]].all() and _AROUND[codes[behind]].all())


def _scanned(data: bytes, lines: Array) -> Array:
    """As the csv module reads: only at its start does a quote open a field."""
    found = []
    start, is_open = 0, False
    for at in range(0, len(lines), _WINDOW):
        for end in lines[at : at + _WINDOW].tolist():
            is_open = _is_open_after(data[start:end], is_open=is_open)
            if not is_open:
                found.append(end)
            start = end
    return np.array(found, dtype=np.int64)


def _is_open_after(line: bytes, *, is_open: bool) -> bool:
    at = 0
    if is_open:
        closed = _CLOSES.match(line)
        if closed is None:
            return True
        at = closed.end()
        if line[at : at + 1] != b",":
            return False
        at += 1
    elif b'"' not in line:
        return False
    return _OPENS.match(line, at) is not None


def is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
