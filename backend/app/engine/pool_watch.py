"""Who is told of loads and evictions."""

from typing import Literal, Protocol

LoadResult = Literal["ok", "no_room", "error"]


class PoolWatch(Protocol):
    def note_load(self, result: LoadResult, took_s: float) -> None:
        """A load has ended; `took_s` counts its wait for room."""

    def note_eviction(self) -> None: ...


class NoPoolWatch:
    def note_load(self, result: LoadResult, took_s: float) -> None: ...

    def note_eviction(self) -> None: ...
