"""Runs the rows of a table in batches, each bad row found and set apart."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from math import isqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from app.cache.base import CacheStatus
from app.codecs.base import Answer, Asked
from app.datasets.blocks import PARTS, Decoded, Fault, fault_of
from app.datasets.scored import Ran
from app.engine.values import Array, Value
from app.errors import (
    BadRequest,
    InferenceTimeout,
    MLForgeError,
    Overloaded,
    Unavailable,
)

if TYPE_CHECKING:
    from app.observability.watch import Observer
    from app.serving.routes import VersionRecord
    from app.serving.runner import Runner

_OVERLOAD_TRIES: Final = 8
_FIRST_PAUSE_S: Final = 0.05


class RowRuns:
    """One version's runs for one caller. `inference_ms` is what they took so far."""

    def __init__(
        self,
        runner: "Runner",
        observer: "Observer",
        record: "VersionRecord",
        outputs: tuple[str, ...] | None,
        *,
        timeout_s: float,
    ) -> None:
        self.inference_ms = 0.0
        self._runner = runner
        self._observer = observer
        self._record = record
        self._outputs = outputs
        self._timeout_s = timeout_s
        self._fixed_rows = fixed_rows(record)

    async def run(
        self, decoded: Decoded, batch_rows: int
    ) -> tuple[list[Ran], dict[int, Fault]]:
        """The runs in the rows' order. Raises what may pass: Overloaded, …"""
        runs: list[Ran] = []
        faults: dict[int, Fault] = {}
        size = self._fixed_rows or batch_rows
        pending = list(_cuts(len(decoded.rows), size))[::-1]
        while pending:
            start, stop = pending.pop()
            rows = decoded.rows[start:stop]
            try:
                runs.append(Ran(rows, await self._run(decoded.tensors, start, stop)))
            except MLForgeError as error:
                if not _is_of_the_rows(error, stop - start):
                    raise
                if stop - start == 1:
                    faults[int(rows[0])] = fault_of(error)
                else:
                    parts = _cuts(stop - start, _part_rows(error, stop - start))
                    pending += [(start + a, start + b) for a, b in parts][::-1]
            # A run may have been done without ever waiting.
            await asyncio.sleep(0)
        return runs, faults

    async def _run(self, tensors: Mapping[str, Array], start: int, stop: int) -> Answer:
        count = stop - start
        inputs = {name: array[start:stop] for name, array in tensors.items()}
        if self._fixed_rows:
            inputs = {n: _padded(a, self._fixed_rows) for n, a in inputs.items()}
        asked = Asked(inputs, self._outputs, rows=count)
        outputs = await self._patiently(asked)
        if self._fixed_rows and count < self._fixed_rows:
            outputs = {name: _head(value, count) for name, value in outputs.items()}
        return Answer(self._record.target, asked, outputs, 0.0, False)

    async def _patiently(self, asked: Asked) -> Mapping[str, Value]:
        """Waits where others are served first, but not for ever."""
        pause_s = _FIRST_PAUSE_S
        for _ in range(_OVERLOAD_TRIES):
            try:
                return await self._once(asked)
            except Overloaded:
                await asyncio.sleep(pause_s)
                pause_s *= 2
        return await self._once(asked)

    async def _once(self, asked: Asked) -> Mapping[str, Value]:
        record = self._record
        deadline = time.monotonic() + self._timeout_s
        with self._observer.watching(record.id, record.name, record.version) as watch:
            run = self._runner.prepare(record, asked, deadline, background=True)
            watch.decoded(run.rows)
            outputs = await run()
            watch.ran(CacheStatus.BYPASS, run.timing)
        self.inference_ms += run.timing.compute_ns / 1e6
        return outputs


def fixed_rows(record: "VersionRecord") -> int | None:
    """How many rows each run must have, where the model says so."""
    inputs = record.target.signature.inputs
    first = inputs[0].shape[0] if inputs and inputs[0].shape else None
    return first if isinstance(first, int) and first > 0 else None


def _is_of_the_rows(error: MLForgeError, count: int) -> bool:
    """Whether fewer of the rows, or others, may run all the same."""
    if isinstance(error, BadRequest | InferenceTimeout):
        return True
    # Too little memory for this many.
    return type(error) is Unavailable and count > 1


def _part_rows(error: MLForgeError, count: int) -> int:
    """Where each try takes all the time there is, as few tries as can be."""
    if isinstance(error, InferenceTimeout):
        return isqrt(count)
    return -(-count // PARTS)


def _cuts(count: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, size):
        yield start, min(start + size, count)


def _padded(array: Array, rows: int) -> Array:
    missing = rows - len(array)
    if not missing:
        return array
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def _head(value: Value, count: int) -> Value:
    return value[:count] if isinstance(value, np.ndarray | list) else value
