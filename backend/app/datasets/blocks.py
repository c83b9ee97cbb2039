"""A block of rows that was read: its tensors, and why a row has none."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from app.datasets.base import Span
from app.engine.values import Array
from app.errors import BadRequest, MLForgeError, PayloadTooLarge

# Stands in refusals for the row, whose number is kept beside them.
THE_ROW: Final = "the row"
# Into how many parts rows are cut of which some are bad: each step costs as much as
# the rows in it, so few steps are better where many are bad, and no worse elsewhere.
PARTS: Final = 16
_SHOWN: Final = 1000
# The readers of tables count rows from 1; a row is refused alone.
_FIRST_ROW: Final = re.compile("row 1(?=[,: ])")
_IN_COLUMN: Final = re.compile(rf'{THE_ROW}, column "(.*?)": (.*)', re.DOTALL)


class Fault(NamedTuple):
    """What is wrong with a row; `column` where one value is to blame, `text` where
    the row can't be read."""

    column: str | None
    reason: str
    text: str | None = None


def shown(row: bytes) -> str:
    """The first of a row's own letters."""
    return row[: 4 * _SHOWN].decode("utf-8", "replace")[:_SHOWN]


def place(_at: int) -> str:
    return THE_ROW


def fault_of(error: MLForgeError) -> Fault:
    detail = error.detail
    if _FIRST_ROW.match(detail):
        detail = _FIRST_ROW.sub(THE_ROW, detail, count=1)
    found = _IN_COLUMN.fullmatch(detail)
    if found:
        return Fault(found[1], found[2])
    return Fault(None, detail.removeprefix(f"{THE_ROW}: "))


class Block(Protocol):
    """`lines` holds each row's own; `broken` the rows that can't be read, from 0."""

    @property
    def lines(self) -> Array: ...

    @property
    def broken(self) -> Mapping[int, Fault]: ...

    def tensors(self, rows: Array) -> Mapping[str, Array]:
        """Of these rows, in order. Raises BadRequest where one of them has none."""
        ...

    def cell_faults(self, rows: Array) -> Mapping[int, Fault]:
        """Of these rows, those of which a single value is refused, as far as they are
        found at once; by their numbers in the block."""
        ...

    def inputs(self) -> Sequence[Any]:
        """The columns that the result repeats, as Arrow arrays."""
        ...

    def prefixes(self) -> Any | None:
        """An array of the rows' own texts, where the result goes on behind them."""
        ...


class Reader(Protocol):
    def blocks(self, path: Path, span: Span, rows: int) -> Iterator[Block]:
        """Blocks of at most `rows` rows."""
        ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """`rows` are those of the block that `tensors` holds, in order."""

    block: Block
    rows: Array
    tensors: Mapping[str, Array]
    faults: dict[int, Fault]

    def some(self, start: int, stop: int) -> "Decoded":
        tensors = {name: array[start:stop] for name, array in self.tensors.items()}
        return Decoded(self.block, self.rows[start:stop], tensors, self.faults)


def decode(block: Block) -> Decoded:
    """The tensors of all rows that have some. Where rows are refused together, parts
    of them are tried, so that each bad one is found."""
    faults = dict(block.broken)
    rows = _without(np.arange(len(block.lines)), faults)
    good: list[Array] = []
    tensors: list[Mapping[str, Array]] = []
    for part, found in _parts(block, rows, faults):
        if isinstance(found, Fault):
            faults[int(part[0])] = found
        else:
            good.append(part)
            tensors.append(found)
    kept = _joined(good)
    return Decoded(block, kept, _together(block, kept, tensors), faults)


def _together(
    block: Block, rows: Array, parts: list[Mapping[str, Array]]
) -> Mapping[str, Array]:
    """As if the refused rows had not been there: numbers of a column meet in one type
    before they are cast."""
    if len(parts) > 1:
        try:
            return block.tensors(rows)
        except (BadRequest, PayloadTooLarge):
            return _stacked(parts)
    return _stacked(parts)


def _parts(
    block: Block, rows: Array, faults: dict[int, Fault]
) -> Iterator[tuple[Array, Mapping[str, Array] | Fault]]:
    """`faults` gets those that are found all at once."""
    if not len(rows):
        return
    try:
        yield rows, block.tensors(rows)
        return
    except (BadRequest, PayloadTooLarge):
        faults.update(block.cell_faults(rows))
    rows = _without(rows, faults)
    pending = [rows] if len(rows) else []
    while pending:
        part = pending.pop()
        try:
            yield part, block.tensors(part)
        except (BadRequest, PayloadTooLarge) as error:
            if len(part) == 1:
                yield part, fault_of(error)
                continue
            pending += np.array_split(part, min(len(part), PARTS))[::-1]


def _without(rows: Array, faults: Mapping[int, Fault]) -> Array:
    if not faults:
        return rows
    return rows[~np.isin(rows, np.fromiter(faults, dtype=np.int64))]


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _stacked(parts: list[Mapping[str, Array]]) -> Mapping[str, Array]:
    if len(parts) <= 1:
        return parts[0] if parts else {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def is_run(rows: Array) -> bool:
    """Whether they follow each other without a gap."""
    return bool(len(rows)) and int(rows[-1]) - int(rows[0]) + 1 == len(rows)


def some_of(array: Any, rows: Array) -> Any:
    """These rows of an Arrow array."""
    if is_run(rows):
        return array.slice(int(rows[0]), len(rows))
    return array.take(pa.array(rows))


def cast_or_none(array: Any, kind: Any) -> Any | None:
    """None where a value is none of the type."""
    try:
        return array.cast(kind)
    except pa.ArrowInvalid:
        return None
