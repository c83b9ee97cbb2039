"""Which format a file has: by its content type, else by its name; and whether its
first bytes agree."""

import re
from pathlib import PurePath
from typing import Final

from app.codecs.media_types import parsed_type
from app.datasets.base import Kind
from app.enums import Compression, FileFormat
from app.errors import InvalidRequest, UnsupportedMediaType

_BY_TYPE: Final = {
    "text/csv": FileFormat.CSV,
    "application/csv": FileFormat.CSV,
    "application/x-ndjson": FileFormat.NDJSON,
    "application/ndjson": FileFormat.NDJSON,
    "application/jsonl": FileFormat.NDJSON,
    "application/x-jsonlines": FileFormat.NDJSON,
    "application/jsonlines": FileFormat.NDJSON,
    "application/vnd.apache.parquet": FileFormat.PARQUET,
    "application/x-parquet": FileFormat.PARQUET,
    "application/vnd.apache.arrow.stream": FileFormat.ARROW,
    "application/vnd.apache.arrow.file": FileFormat.ARROW,
}
_UTF8: Final = {"utf-8", "utf8", "us-ascii"}
_PACKED_TYPES: Final = {
    "application/gzip": Compression.GZIP,
    "application/x-gzip": Compression.GZIP,
    "application/zstd": Compression.ZSTD,
}
FORMATS_BY_SUFFIX: Final = {
    ".csv": FileFormat.CSV,
    ".ndjson": FileFormat.NDJSON,
    ".jsonl": FileFormat.NDJSON,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".arrow": FileFormat.ARROW,
    ".arrows": FileFormat.ARROW,
    ".feather": FileFormat.ARROW,
    ".ipc": FileFormat.ARROW,
}
COMPRESSIONS_BY_SUFFIX: Final = {".gz": Compression.GZIP, ".zst": Compression.ZSTD}

MEDIA_TYPES: Final = {
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.NDJSON: "application/x-ndjson",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
    FileFormat.ARROW: "application/vnd.apache.arrow.stream",
}

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
ARROW_FILE: Final = b"ARROW1"
# What begins with these is no text, whatever its name says.
_NO_TEXT: Final = {
    _PARQUET: "a Parquet file",
    ARROW_FILE: "an Arrow file",
    b"FEA1": "a Feather file of version 1",
    b"PK\x03\x04": "a ZIP archive (an Excel file is one, too)",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
# No header of a CSV file has a quote behind a brace.
_OBJECT: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"')
_TAKEN: Final = (
    "send .csv, .ndjson, .jsonl, .parquet or .arrow, as it is or with .gz or .zst"
)


def kind_of(content_type: str | None, file_name: str | None) -> Kind:
    """A content type that we know wins over the file's name.

    Raises UnsupportedMediaType where neither says what it is.
    """
    given, parameters = parsed_type(content_type or "")
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in _UTF8:
        raise UnsupportedMediaType(
            f"The charset {charset[:100]} is not taken here; send UTF-8."
        )
    name = PurePath((file_name or "").lower())
    packed = COMPRESSIONS_BY_SUFFIX.get(name.suffix, Compression.NONE)
    if packed is not Compression.NONE:
        name = name.with_suffix("")
    packed = _PACKED_TYPES.get(given, packed)
    found = _BY_TYPE.get(given) or FORMATS_BY_SUFFIX.get(name.suffix)
    if found is None:
        shown = f'"{file_name[:100]}"' if file_name else "a file without a name"
        raise UnsupportedMediaType(
            f"{shown} ({given[:100] or 'no content type'}) is in no format that jobs "
            f"read: {_TAKEN}."
        )
    return Kind(found, packed)


def packing_of(head: bytes) -> Compression:
    """By the first bytes of a file."""
    if head.startswith(_GZIP):
        return Compression.GZIP
    return Compression.ZSTD if head.startswith(_ZSTD) else Compression.NONE


def suffix_of(compression: Compression) -> str:
    """What the name of a file that is packed so ends with."""
    found = (s for s, kind in COMPRESSIONS_BY_SUFFIX.items() if kind is compression)
    return next(found, "")


def check_packing(head: bytes, compression: Compression) -> None:
    """InvalidRequest where the first bytes are not packed as the kind says."""
    if not head:
        raise InvalidRequest("The file is empty; send a header and a row at least.")
    found = packing_of(head)
    if found is compression:
        return
    if compression is Compression.NONE:
        raise InvalidRequest(
            f"The file is packed with {found}, but nothing says so: name it with "
            f"{suffix_of(found)} at its end."
        )
    raise InvalidRequest(
        f"The file is said to be packed with {compression}, but isn't."
    )


def check_format(head: bytes, format_: FileFormat) -> None:
    """`head` is unpacked."""
    if not head:
        raise InvalidRequest("The file is empty; send a header and a row at least.")
    begins = next(
        (what for magic, what in _NO_TEXT.items() if head.startswith(magic)), ""
    )
    if format_ is FileFormat.PARQUET:
        fits = head.startswith(_PARQUET)
    elif format_ is FileFormat.ARROW:
        fits = head.startswith(ARROW_FILE) or not begins
    else:
        fits = not begins
        if format_ is FileFormat.CSV and _OBJECT.match(head):
            fits, begins = False, "NDJSON (name it .ndjson)"
    if not fits:
        raise InvalidRequest(
            f"The file is said to be {format_}, but it begins like "
            f"{begins or 'something else'}; {_TAKEN}."
        )
