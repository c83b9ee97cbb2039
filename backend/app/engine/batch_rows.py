"""Rows of several callers as one batch, and the batch's outputs as theirs again."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from app.engine.values import Tensors, Value, weigh


class NotByRows(Exception):
    """An output does not have one row for each row of the inputs."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs by rows. Those of equal `kind` can be stacked."""

    kind: Hashable
    count: int
    size_bytes: int

    @property
    def row_bytes(self) -> int:
        return self.size_bytes // self.count


def rows_of(inputs: Tensors) -> Rows | None:
    """None where the inputs are not tensors with equally many rows, one at least."""
    counts, kinds = set(), []
    for name in sorted(inputs):
        value = inputs[name]
        if not isinstance(value, np.ndarray) or not value.ndim:
            return None
        counts.add(value.shape[0])
        kinds.append((name, value.dtype, value.shape[1:]))
    count = counts.pop() if len(counts) == 1 else 0
    return Rows(tuple(kinds), count, weigh(inputs)) if count else None


def stacked(parts: Sequence[Tensors]) -> dict[str, Value]:
    """One batch of inputs of one kind, in their order."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def split(outputs: Tensors, counts: Sequence[int]) -> list[dict[str, Value]]:
    """For each of `counts` its rows of every output, as views. NotByRows if none."""
    bounds = [0]
    for count in counts:
        bounds.append(bounds[-1] + count)
    for value in outputs.values():
        if not _has_rows(value, bounds[-1]):
            raise NotByRows
    return [dict(_cut(outputs, start, end)) for start, end in pairwise(bounds)]


def _has_rows(value: Value, count: int) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == count


def _cut(outputs: Tensors, start: int, end: int) -> Iterator[tuple[str, Value]]:
    for name, value in outputs.items():
        assert isinstance(value, np.ndarray)
        yield name, value[start:end]
