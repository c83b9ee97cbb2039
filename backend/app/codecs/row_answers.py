"""The outputs of a run as columns, one value for each row that was sent."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.codecs.base import Answer
from app.engine.signature import describe, describe_value
from app.engine.tensors import ElementType
from app.engine.value_types import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
)
from app.engine.values import Array, Value
from app.errors import NotAcceptable

SHOWN_IGNORED = 20
SHOWN_LETTERS = 100


@dataclass(frozen=True, slots=True)
class RowOutput:
    """`value` is an array whose first axis is the rows, or a list of one value each.
    A row of one number is that number."""

    name: str
    value: Array | list[Any]
    type: ValueType

    @property
    def item_type(self) -> ValueType:
        """Of one row's value, where `value` is a list."""
        inner = self.type.of if isinstance(self.type, OptionalType) else self.type
        return inner.of if isinstance(inner, SequenceType) else inner


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """What a ZipMap gives: for every row a map from labels to numbers."""

    names: tuple[str | int, ...]
    element: ElementType
    rows: list[dict[Any, Any]]

    def array_of(self, label: str | int) -> Array:
        missing = "" if self.element.is_string else 0
        values = [row.get(label, missing) for row in self.rows]
        return np.array(values, dtype=self.element.dtype)

    def has(self, label: str | int) -> list[bool]:
        return [label in row for row in self.rows]


def row_outputs(answer: Answer) -> tuple[int, list[RowOutput]]:
    """How many rows, and the outputs.

    Raises NotAcceptable naming the output that has no value for every row.
    """
    count = answer.asked.rows
    if count is None:
        count = _common_length(answer.outputs.values())
    found = []
    for name, value in answer.outputs.items():
        spec = answer.target.signature.outputs_by_name[name]
        if _length(value) != count or not isinstance(value, np.ndarray | list):
            raise NotAcceptable(
                f'output "{name}" ({describe(spec)}, here {describe_value(value)}) has '
                f"no value for every row: ask for other outputs, or accept "
                f"application/json or application/x-npz."
            )
        found.append(RowOutput(name, _narrow(value), spec.type))
    return count, found


def labels_of(output: RowOutput) -> LabelledRows | None:
    """None where the rows hold something else than maps of plain values."""
    kind = output.item_type
    if not isinstance(kind, MapType) or not isinstance(kind.value, TensorType):
        return None
    rows = [row for row in output.value if isinstance(row, dict)]
    if len(rows) != len(output.value):
        return None
    names = dict.fromkeys(label for row in rows for label in row)
    return LabelledRows(tuple(names), kind.value.element, rows)


def answer_headers(answer: Answer) -> tuple[tuple[bytes, bytes], ...]:
    """What a JSON answer says beside its outputs, where it matters."""
    headers = [(b"x-model-id", answer.target.version_id.encode("ascii", "replace"))]
    ignored = answer.asked.ignored
    if ignored:
        names = json.dumps([n[:SHOWN_LETTERS] for n in ignored[:SHOWN_IGNORED]])
        headers.append((b"x-ignored-features", names.encode()))
    return tuple(headers)


def _common_length(values: Iterable[Any]) -> int:
    """-2, which no output has, where the outputs agree on none."""
    lengths = {_length(value) for value in values}
    length = lengths.pop() if len(lengths) == 1 else -2
    return length if length >= 0 else -2


def _length(value: Value) -> int:
    if isinstance(value, list):
        return len(value)
    return len(value) if isinstance(value, np.ndarray) and value.ndim else -1


def _narrow(value: Array | list[Any]) -> Array | list[Any]:
    if isinstance(value, np.ndarray) and value.shape[1:] == (1,):
        narrow: Array = value[:, 0]
        return narrow
    return value
