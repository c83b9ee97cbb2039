"""How long one run waited and took."""

from dataclasses import dataclass


@dataclass(slots=True)
class Timing:
    """Filled in by whatever runs it; times are nanoseconds of the wall clock.

    A run may serve several callers at once: `batch_rows` is then the rows of them all
    (0: only this caller's own), and `leads` is true for just one of them.
    """

    queue_ns: int = 0
    compute_ns: int = 0
    batch_rows: int = 0
    leads: bool = True
