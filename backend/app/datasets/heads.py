"""The head of a file, whatever its format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from app.codecs.base import Target
from app.datasets.base import Kind
from app.datasets.blocks import Block, Reader
from app.datasets.limits import FileLimits
from app.datasets.table_heads import look_at_table
from app.datasets.tables import given_back
from app.datasets.text_heads import look_at_text
from app.enums import FileFormat


class Head(Protocol):
    """`fields` are the file's columns as a result repeats them; `rows` is about how
    many rows all of it holds."""

    @property
    def fields(self) -> Mapping[str, Any]: ...

    @property
    def rows(self) -> int: ...

    def block(self, reader: Reader, rows: int) -> Block | None:
        """The first rows."""
        ...


def look_at(path: Path, kind: Kind, target: Target, limits: FileLimits) -> Head:
    is_text = kind.format in {FileFormat.CSV, FileFormat.NDJSON}
    look = look_at_text if is_text else look_at_table
    with given_back():
        return look(path, kind, target, limits)
