"""What a Parquet file unpacks to, found before anything makes room for it.

The footer may lie. A page's own header is what a reader makes room by, so the sum
over all pages is what reading can cost. Read here and not by pyarrow, whose views of
a broken footer end the process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from app.codecs.thrift_compact import Bytes, CompactReader, Fields

# https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
_FILE_ROW_GROUPS: Final = 4
_GROUP_CHUNKS: Final = 1
_GROUP_ROWS: Final = 3
_CHUNK_META: Final = 3
_META_TYPE: Final = 1
_META_PATH: Final = 3
_META_COMPRESSED: Final = 7
_META_DATA_AT: Final = 9
_META_DICTIONARY_AT: Final = 11
_PAGE_INFLATED: Final = 2
_PAGE_COMPRESSED: Final = 3
_PAGE_DATA: Final = (5, 8)
_DATA_VALUES: Final = 1
_BYTE_ARRAY: Final = 6

_MAGIC: Final = b"PAR1"
_TAIL_BYTES: Final = 8
_FOOTER_BYTES: Final = 4 << 20
_PAGES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group: its pages stand from `start` to `end`."""

    path: str
    is_text: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Footer:
    rows: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Size:
    inflated_bytes: int
    values: int


def read_footer(body: Bytes, most_bytes: int = _FOOTER_BYTES) -> Footer:
    """Raises ValueError, TypeError, IndexError or KeyError where it is broken."""
    if body[-4:] != _MAGIC or body[:4] != _MAGIC or len(body) < 12:
        raise ValueError("it does not begin and end with PAR1")
    length = int.from_bytes(body[-_TAIL_BYTES:-4], "little")
    if length > min(len(body) - 12, most_bytes):
        raise ValueError(f"its footer says that it takes {length} bytes")
    fields = CompactReader(body, len(body) - _TAIL_BYTES - length).struct()
    groups = [_struct(group) for group in fields[_FILE_ROW_GROUPS]]
    chunks = [_chunk(one) for group in groups for one in group[_GROUP_CHUNKS]]
    rows = sum(_size(group[_GROUP_ROWS]) for group in groups)
    return Footer(rows, tuple(chunks))


def page_sizes(body: Bytes, footer: Footer, most_pages: int = _PAGES) -> Iterator[Size]:
    """Of every page of every chunk. Raises ValueError, TypeError or IndexError
    where there is no page."""
    pages = 0
    for chunk in footer.chunks:
        start = chunk.start
        while start < min(chunk.end, len(body)):
            pages += 1
            if pages > most_pages:
                raise ValueError(f"it has more than {most_pages} pages")
            reader = CompactReader(body, start)
            fields = reader.struct()
            heads = [_struct(fields[n]) for n in _PAGE_DATA if n in fields]
            values = max([_size(head.get(_DATA_VALUES, 0)) for head in heads] or [0])
            yield Size(_size(fields.get(_PAGE_INFLATED, 0)), values)
            start = reader.at + _size(fields.get(_PAGE_COMPRESSED, 0))


def _chunk(fields: Any) -> Chunk:
    meta = _struct(_struct(fields)[_CHUNK_META])
    start = _size(meta[_META_DATA_AT])
    dictionary = _size(meta.get(_META_DICTIONARY_AT, 0))
    if 0 < dictionary < start:
        start = dictionary
    path = b".".join(meta[_META_PATH]).decode()
    end = start + _size(meta[_META_COMPRESSED])
    return Chunk(path, meta[_META_TYPE] == _BYTE_ARRAY, start, end)


def _struct(value: Any) -> Fields:
    if not isinstance(value, dict):
        raise TypeError("a header holds a value where a struct should be")
    return value


def _size(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a header holds a size that is none")
    return value
