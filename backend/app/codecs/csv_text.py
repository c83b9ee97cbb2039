"""CSV to cells and cells to values: RFC 4180, in UTF-8, with a header line.

Nothing between two commas is a null, `""` is the empty string.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import orjson

from app.errors import InvalidRequest

_BOM: Final = b"\xef\xbb\xbf"
# A field and what ends it, or all the rest from a quote that is never closed well:
# whatever the body, it is passed over once.
_FIELD: Final = re.compile(
    rb'("(?:[^"]|"")*+"|[^,\r\n"][^,\r\n]*+|)(,|\r\n|\r|\n|\Z)|"[\s\S]*'
)
_QUOTEDEMPTY: Final = re.compile(rb'(?:^|[,\r\n])""(?:[,\r\n]|\Z)')
# Stands for `""`, which the reader does not tell from nothing.
EMPTY: Final = "\0empty\0"
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WORDS: Final = {
    "": None,
    "true": True,
    "false": False,
    "nan": np.nan,
    "inf": np.inf,
    "+inf": np.inf,
    "-inf": -np.inf,
    "infinity": np.inf,
    "+infinity": np.inf,
    "-infinity": -np.inf,
}


class Records:
    """The records of a body: `names` of the header, and the `rows` of cells below."""

    def __init__(self, body: bytes) -> None:
        self._body = _marked(body.removeprefix(_BOM))
        records = self._numbered()
        header = next(records, (1, []))[1]
        if header == [""]:
            header = []
        self.names = tuple("" if name == EMPTY else name for name in header)
        self.rows: list[list[str]] = [row for _, row in records]
        width = len(header)
        if any(len(row) != width for row in self.rows):
            raise self._ragged(width)

    def line_of(self, at: int) -> int:
        """The line on which row `at`, from 0, begins; reads the body again."""
        for number, (line, _) in enumerate(self._numbered()):
            if number == at + 1:
                return line
        return 1

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with its line. Blank lines are skipped, except in a file of one
        column, where they are a row with nothing in it."""
        # The reader's own limit is for the whole process; the body has one already.
        csv.field_size_limit(2**31 - 1)
        lines = io.TextIOWrapper(io.BytesIO(self._body), "utf-8", newline="")
        reader = csv.reader(lines, strict=True)
        line, width = 1, 0
        try:
            for record in reader:
                if record or width == 1:
                    yield line, record or [""]
                    width = width or len(record)
                line = reader.line_num + 1
        except csv.Error as error:
            raise InvalidRequest(
                f"The body is no valid CSV: line {line}: {error}."
            ) from None
        except UnicodeDecodeError:
            raise not_utf8(self._body) from None

    def _ragged(self, width: int) -> InvalidRequest:
        records = self._numbered()
        line, row = next((n, r) for n, r in records if len(r) != width)
        hint = ""
        if width == 1 and re.search(r"[;\t|]", self.names[0]):
            hint = " (only a comma separates fields)"
        return InvalidRequest(
            f"line {line}: the row has {len(row)} fields, but the header has "
            f"{width}{hint}."
        )


def cells_of(record: bytes) -> list[str]:
    """The cells of one record without its newline, as `Records` gives them.

    Raises InvalidRequest where it is no CSV or no UTF-8.
    """
    csv.field_size_limit(2**31 - 1)
    try:
        text = _marked(record).decode()
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidRequest(f"the row is no valid CSV: {error}.") from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InvalidRequest(f"the row is not UTF-8 (byte 0x{byte:02x}).") from None


def not_utf8(body: bytes) -> InvalidRequest:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        return InvalidRequest(
            f"line {line}: the body is not UTF-8 (byte 0x{body[error.start]:02x})."
        )
    return InvalidRequest("The body is not UTF-8.")


def texts_of(cells: Sequence[str]) -> list[str | None]:
    return [_text(cell) for cell in cells]


def numbers_of(cells: Sequence[str]) -> list[Any]:
    """Numbers and truth values as JSON reads them, and the other ways to write them
    in CSV; None for nothing, the text itself where it is none of these."""
    try:
        values = orjson.loads(f"[{','.join([cell or 'null' for cell in cells])}]")
    except orjson.JSONDecodeError:
        return [_number(cell) for cell in cells]
    is_cell_by_cell = len(values) == len(cells) and _SCALARS.issuperset(
        map(type, values)
    )
    if is_cell_by_cell and values.count(None) == cells.count(""):
        return list(values)
    return [_number(cell) for cell in cells]


def _number(cell: str) -> object:
    text = cell.strip(" \t")
    if text == EMPTY:
        return None
    if _INTEGER.fullmatch(text) and len(text) <= 20:
        number = int(text)
        # As in JSON, an integer beyond 64 bits is a float.
        return number if -(2**63) <= number < 2**64 else float(text)
    if _DECIMAL.fullmatch(text):
        value = float(text)
        return cell if np.isinf(value) else value
    return _WORDS.get(text.lower(), cell)


def _text(cell: str) -> str | None:
    if not cell:
        return None
    return "" if cell == EMPTY else cell


def _marked(body: bytes) -> bytes:
    """The body with a mark for each `""`, if there may be one."""
    if not _QUOTEDEMPTY.search(body):
        return body
    mark = f'"{EMPTY}"'.encode()
    return _FIELD.sub(lambda m: mark + m[2] if m[1] == b'""' else m[0], body)
