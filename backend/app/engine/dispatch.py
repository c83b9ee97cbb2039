"""Where a run belongs: on the event loop when it is known to be cheap, else a thread.

A hop to a thread costs about as much as serving a tiny model, so runs whose
measured cost is small stay on the loop.
"""

import numpy as np

from app.engine.values import Tensors, nbytes

# A hop costs about 40 µs; what one run may take from everyone else is a few of those.
_CHEAP_S = 300e-6
_LONGEST_COUNTED_S = 2 * _CHEAP_S
_WEIGHT = 0.3
# What is run on the loop is written there too: about 20 ns for each float32 as JSON.
_WRITING_S_PER_BYTE = 5e-9
# Shapes remembered per model: more are an odd client's, and forgotten together.
_MOST_BUCKETS = 1024
_RANK_BITS, _DIM_BITS = 8, 63


def size_bucket(inputs: Tensors) -> int:
    """A number for the inputs' shapes; of strings and nested values, their bytes too.

    Bytes alone don't do: a product of 8000 x 1 and 1 x 1 costs nothing, one of
    4000 x 1 and 1 x 4000 costs much.
    """
    bucket = data_bytes = 0
    for name in sorted(inputs):
        value = inputs[name]
        if not isinstance(value, np.ndarray):
            data_bytes += nbytes(value)
            continue
        bucket = bucket << _RANK_BITS | value.ndim
        for dim in value.shape:
            bucket = bucket << _DIM_BITS | dim
        if value.dtype.hasobject:
            data_bytes += nbytes(value)
    return bucket << _RANK_BITS | data_bytes.bit_length()


class RunCosts:
    """One model's measured run time for each shape of input, a moving average.

    On a thread, its own processor time is measured. The loop has the wall clock alone,
    for the other costs a microsecond: a run that seems long there may have been
    interrupted, but hardly two in a row.
    """

    __slots__ = ("_average_s", "_doubted", "_never_cheap")

    def __init__(self) -> None:
        self._average_s: dict[int, float] = {}
        self._doubted: set[int] = set()
        self._never_cheap = False

    def is_cheap(self, bucket: int) -> bool:
        """False until a run of this size was measured."""
        average_s = self._average_s.get(bucket)
        return average_s is not None and average_s < _CHEAP_S and not self._never_cheap

    def record_inline(self, bucket: int, took_s: float, output_bytes: int) -> None:
        """Wall-clock seconds of a run on the loop."""
        if took_s < _CHEAP_S:
            self._doubted.discard(bucket)
            self.record(bucket, took_s, output_bytes)
        elif bucket in self._doubted:
            # Costly until threads have told otherwise.
            self._average_s[bucket] = _LONGEST_COUNTED_S
        else:
            self._doubted.add(bucket)

    def record(self, bucket: int, took_s: float, output_bytes: int = 0) -> None:
        """Seconds that a run kept its thread busy."""
        took_s = min(took_s + output_bytes * _WRITING_S_PER_BYTE, _LONGEST_COUNTED_S)
        if bucket not in self._average_s and len(self._average_s) >= _MOST_BUCKETS:
            self._average_s.clear()
            self._doubted.clear()
        average_s = self._average_s.get(bucket, took_s)
        self._average_s[bucket] = average_s + _WEIGHT * (took_s - average_s)

    def distrust(self) -> None:
        """Its runs are never cheap again: the inputs' shapes don't tell their cost."""
        self._never_cheap = True
