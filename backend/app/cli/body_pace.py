"""How fast a body must come, and in how large pieces, so that no client holds a
connection, or the loop, with next to nothing."""

from typing import Final

LEAST_BYTES_S: Final = 1024
# As many as Triton takes of one request; beyond them they have to be worth their cost.
FREE_CHUNKS: Final = 65_536
LEAST_CHUNK_BYTES: Final = 64


class BodyPace:
    """Of one request's body. `grace_s`: how long it may be slower than the least."""

    __slots__ = ("_bytes", "_chunks", "_grace_s", "_waited_s")

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._bytes = 0
        self._chunks = 0
        self._waited_s = 0.0

    def came(self, size: int) -> None:
        self._bytes += size

    def chunk_came(self) -> None:
        self._chunks += 1

    def waited(self, seconds: float) -> None:
        """Only what the client took, not what we took to read."""
        self._waited_s += seconds

    @property
    def is_too_slow(self) -> bool:
        beyond_s = self._waited_s - self._grace_s
        return beyond_s > 0 and self._bytes < beyond_s * LEAST_BYTES_S

    @property
    def is_crumbled(self) -> bool:
        beyond = self._chunks - FREE_CHUNKS
        return beyond > 0 and self._bytes < beyond * LEAST_CHUNK_BYTES
