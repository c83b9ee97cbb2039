"""What running a model shows: whether it runs, repeats itself, and takes batches.

Whether it runs can depend on the inputs made up, so any run here may fail.
"""

import statistics
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from app.engine.alarm import Alarm
from app.engine.compare import close, identical
from app.engine.samples import ATTEMPTS, Sizes, sample_inputs
from app.engine.session import Session
from app.engine.signature import Signature, TensorType, ValueSpec
from app.engine.values import Tensors, Value
from app.errors import InferenceTimeout, MLForgeError, Unavailable

_SEED = 20_240_229
_BATCH = 4
_TIMED_RUNS = 7
_TIMING_BUDGET_S = 0.5

Trouble: TypeAlias = MLForgeError | MemoryError
_TROUBLES = (MLForgeError, MemoryError)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`holds` is None where it could not be found out; `reason` says why not True."""

    holds: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Proofs:
    """`trouble` is None if it ran on made-up inputs."""

    trouble: Trouble | None
    deterministic: Verdict
    batchable: Verdict
    latency_ms: float | None


class Prover:
    """Runs one session on made-up inputs, no run longer than `run_limit_s`.

    `alarm` stops them; without one each has its own.
    """

    def __init__(
        self,
        session: Session,
        signature: Signature,
        *,
        run_limit_s: float,
        alarm: Alarm | None = None,
    ) -> None:
        self._session = session
        self._signature = signature
        self._run_limit_s = run_limit_s
        self._alarm = alarm
        self._random = np.random.default_rng(_SEED)

    def try_smallest(self, *, limit_s: float) -> Trouble | None:
        """What was wrong with a run of the smallest inputs, or with making them.

        Unavailable if the run needs too much memory, InferenceTimeout if too long.
        """
        try:
            inputs = self._sample(ATTEMPTS[0])
        except (MLForgeError, MemoryError) as error:
            return error
        try:
            self._run_within(inputs, limit_s)
        except (InferenceTimeout, Unavailable):
            raise
        except MLForgeError as error:
            return error
        return None

    def prove(
        self, random_operators: Collection[str], smallest: Trouble | None
    ) -> Proofs:
        """`smallest` is what `try_smallest` gave."""
        by_operators = _judge_operators(random_operators)
        try:
            sizes = ATTEMPTS[0] if smallest is None else self._larger(smallest)
        except _TROUBLES as error:
            reason = explain(error)
            unknown = Verdict(None, f"it did not run on made-up inputs: {reason}")
            return Proofs(error, by_operators or unknown, unknown, None)
        return Proofs(
            None,
            by_operators or self._judge_repetition(sizes),
            self._judge_batches(sizes),
            self._latency_ms(sizes),
        )

    def _larger(self, smallest: Trouble) -> Sizes:
        """The next sizes that run; raises the smallest's trouble if none do."""
        for sizes in ATTEMPTS[1:]:
            try:
                self._run(self._sample(sizes))
            except (InferenceTimeout, Unavailable, MemoryError):
                break
            except MLForgeError:
                continue
            return sizes
        raise smallest

    def _judge_repetition(self, sizes: Sizes) -> Verdict:
        try:
            inputs = self._sample(sizes)
            if identical(self._run(inputs), self._run(inputs)):
                return Verdict(True)
        except _TROUBLES as error:
            return Verdict(None, f"it did not run twice: {explain(error)}")
        return Verdict(False, "two runs on the same inputs gave different outputs")

    def _judge_batches(self, sizes: Sizes) -> Verdict:
        """Whether single rows give what their stack gives."""
        refusal = _no_batches(self._signature)
        if refusal is not None:
            return Verdict(False, refusal)
        try:
            rows = [self._sample(Sizes(1, sizes.inner)) for _ in range(_BATCH)]
            singles = [self._run(row) for row in rows]
            batch = self._run(_stacked(rows))
            differing = _differing(singles, batch)
        except _TROUBLES as error:
            return Verdict(False, f"it did not run on a batch: {explain(error)}")
        if differing is None:
            return Verdict(True)
        return Verdict(
            False, f'output "{differing}" of a batch is not that of its rows'
        )

    def _latency_ms(self, sizes: Sizes) -> float | None:
        took_s: list[float] = []
        try:
            inputs = self._sample(sizes)
            while len(took_s) < _TIMED_RUNS and sum(took_s) < _TIMING_BUDGET_S:
                started = time.perf_counter()
                self._session.run(inputs, None)
                took_s.append(time.perf_counter() - started)
        except _TROUBLES:
            return None
        return round(1000 * statistics.median(took_s), 4)

    def _sample(self, sizes: Sizes) -> dict[str, Value]:
        return sample_inputs(self._signature, sizes, self._random)

    def _run(self, inputs: Tensors) -> dict[str, Value]:
        return self._run_within(inputs, self._run_limit_s)

    def _run_within(self, inputs: Tensors, limit_s: float) -> dict[str, Value]:
        deadline = time.monotonic() + limit_s
        return self._session.run(inputs, None, deadline=deadline, alarm=self._alarm)


def _judge_operators(random_operators: Collection[str]) -> Verdict | None:
    if not random_operators:
        return None
    return Verdict(False, f"it has {', '.join(sorted(random_operators))}")


def _no_batches(signature: Signature) -> str | None:
    """Why its declared inputs and outputs cannot be batched; None if they may be."""
    if not signature.inputs:
        return "it has no inputs"
    for spec in signature.inputs:
        if spec.shape is None or not _is_batch_of_rows(spec):
            return f'input "{spec.name}" has no free first dimension'
    if len({spec.shape[0] for spec in signature.inputs if spec.shape}) > 1:
        return "its inputs' first dimensions have different names"
    for spec in signature.outputs:
        if not _is_batch_of_rows(spec):
            return f'output "{spec.name}" has no free first dimension'
    return None


def _is_batch_of_rows(spec: ValueSpec) -> bool:
    if not isinstance(spec.type, TensorType):
        return False
    if spec.shape is None:
        return True
    if not spec.shape or isinstance(spec.shape[0], int):
        return False
    symbol = spec.shape[0]
    return symbol is None or symbol not in spec.shape[1:]


def _stacked(rows: list[dict[str, Value]]) -> Mapping[str, Value]:
    return {
        name: np.concatenate([_array(row[name]) for row in rows]) for name in rows[0]
    }


def _differing(
    singles: list[dict[str, Value]], batch: Mapping[str, Value]
) -> str | None:
    """An output whose rows in the batch are not those of the single runs."""
    for name, together in batch.items():
        if not _rows_agree([single[name] for single in singles], together):
            return name
    return None


def _rows_agree(singles: list[Value], together: Value) -> bool:
    arrays = [_array(single) for single in singles]
    whole = _array(together)
    if any(array.ndim == 0 or len(array) != 1 for array in arrays):
        return False
    if whole.ndim == 0 or len(whole) != len(arrays):
        return False
    return all(close(array, whole[at : at + 1]) for at, array in enumerate(arrays))


def _array(value: Value) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    assert isinstance(value, np.ndarray)
    return value


def explain(error: Trouble) -> str:
    if isinstance(error, MLForgeError):
        return error.detail
    return "there is not enough memory to make up inputs for it"
