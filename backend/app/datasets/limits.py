"""How much of a file is looked at, held and unpacked at once."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FileLimits:
    """`input_bytes` is the most that a file may unpack to. Beyond `free_bytes`, it
    may unpack to no more than `ratio` times what was read of it."""

    input_bytes: int = 16384 * MIB
    free_bytes: int = 64 * MIB
    ratio: int = 200
    # What a table that is packed as a whole may unpack to: all of it has to be unpacked
    # before it is taken.
    packed_table_bytes: int = 1024 * MIB
    # Of one row of text.
    line_bytes: int = 16 * MIB
    # Of a span of text, and of what is read of it at a time.
    span_bytes: int = 64 * MIB
    block_bytes: int = 4 * MIB
    # Of rows of a table that are held together, each value counted for itself.
    batch_bytes: int = 16 * MIB
    columns: int = 16384
    sample_rows: int = 100


DEFAULT_LIMITS: Final = FileLimits()
