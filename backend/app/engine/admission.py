"""Who may wait: so many callers, with so many bytes of inputs, and a share of each
model."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal, TypeAlias

from app.engine.lanes import LaneKey, Lanes
from app.errors import Overloaded

MIB: Final = 1024 * 1024
# Of the places to wait in, what one model may fill that has no limit of its own.
_SHARE_OF_QUEUE: Final = 3 / 4
_SOONEST_S, _LATEST_S = 1, 30

# Why a caller was turned away; a label of the metrics.
Reason: TypeAlias = Literal[
    "model_queue", "server_queue", "queue_bytes", "deadline", "stuck_runs"
]


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Of one process: callers who wait, and what their inputs take."""

    count: int = 256
    size_bytes: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class Demand:
    """What one caller brings: the size of the inputs, the model's own limit if it has
    one, and how long there is left until nobody waits any more.

    `for_load`: it waits for its model to be loaded. As many as there are threads may do
    so beyond the limits, since they would run at once if it were.
    """

    size_bytes: int = 0
    queue_limit: int | None = None
    time_left_s: float | None = None
    for_load: bool = False


class Place:
    """One caller's place among those who wait. Also a block that leaves at its end."""

    __slots__ = ("_admission", "_is_held", "key", "size_bytes")

    def __init__(self, admission: "Admission", key: LaneKey, size_bytes: int) -> None:
        self._admission = admission
        self._is_held = True
        self.key = key
        self.size_bytes = size_bytes

    def leave(self) -> None:
        """Waits no more. Nothing the second time."""
        if self._is_held:
            self._is_held = False
            self._admission.left(self)

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_error: object) -> None:
        self.leave()


class Admission:
    """Belongs to one event loop. `on_refused` is told of each caller turned away."""

    def __init__(
        self,
        lanes: Lanes,
        limits: QueueLimits,
        *,
        on_refused: Callable[[Reason], None] | None = None,
    ) -> None:
        self._lanes = lanes
        self._limits = limits
        self._on_refused = on_refused
        self._counts: dict[LaneKey, int] = {}
        self.count = 0
        self.size_bytes = 0

    def enter(
        self, model: Hashable, demand: Demand, *, background: bool = False
    ) -> Place:
        """A place to wait in. Overloaded if there is none, or no use in waiting."""
        key = (model, background)
        self.check_clogged()
        self._check_model(key, demand)
        self._check_server(demand)
        self._check_time(key, demand)
        self._counts[key] = self._counts.get(key, 0) + 1
        self.count += 1
        self.size_bytes += demand.size_bytes
        return Place(self, key, demand.size_bytes)

    def left(self, place: Place) -> None:
        self.count -= 1
        self.size_bytes -= place.size_bytes
        self._counts[place.key] -= 1
        if not self._counts[place.key]:
            del self._counts[place.key]

    def check_clogged(self) -> None:
        """Overloaded while runs that cannot be stopped hold too many threads."""
        if self._lanes.is_clogged:
            self._refuse(
                "stuck_runs",
                f"{self._lanes.given_up} runs went past their time limit and cannot be "
                "stopped before they end",
                self._lanes.work_s(),
            )

    def _check_model(self, key: LaneKey, demand: Demand) -> None:
        limit = demand.queue_limit
        if limit is None:
            limit = max(1, int(self._limits.count * _SHARE_OF_QUEUE))
        count = self._counts.get(key, 0)
        if count >= limit + self._spare(demand):
            self._refuse(
                "model_queue",
                f"{_waiting(count, 'of this model ')}, and its limit is {limit}",
                self._work_s(key),
            )

    def _check_server(self, demand: Demand) -> None:
        limits = self._limits
        if self.count >= limits.count + self._spare(demand):
            self._refuse(
                "server_queue",
                f"{_waiting(self.count)}, and the server's limit is {limits.count}",
                self._lanes.work_s(),
            )
        # One alone may be larger: it would wait for ever otherwise.
        if self.count and self.size_bytes + demand.size_bytes > limits.size_bytes:
            self._refuse(
                "queue_bytes",
                f"{_waiting(self.count)} with {_mib(self.size_bytes)} of "
                f"inputs, this one has {_mib(demand.size_bytes)}, and the server's limit "
                f"is {_mib(limits.size_bytes)}",
                self._lanes.work_s(),
            )

    def _check_time(self, key: LaneKey, demand: Demand) -> None:
        """Even if the threads did nothing else, this model's runs that wait already
        would take longer."""
        work_s = self._work_s(key)
        if demand.time_left_s is not None and work_s > demand.time_left_s:
            self._refuse(
                "deadline",
                f"{_waiting(self._counts.get(key, 0), 'of this model ')}, which takes "
                f"{work_s:.1f} s or more, and this one has "
                f"{max(demand.time_left_s, 0):.1f} s left",
                work_s,
            )

    def _spare(self, demand: Demand) -> int:
        return self._lanes.threads if demand.for_load else 0

    def _work_s(self, key: LaneKey) -> float:
        return self._lanes.work_s(key[0], background=key[1])

    def _refuse(self, reason: Reason, why: str, work_s: float) -> None:
        if self._on_refused is not None:
            self._on_refused(reason)
        after_s = min(max(ceil(work_s), _SOONEST_S), _LATEST_S)
        raise Overloaded(f"{why}; try again in {after_s} s", retry_after_s=after_s)


def _waiting(count: int, which: str = "") -> str:
    if count == 1:
        return f"1 prediction {which}is waiting"
    return f"{count} predictions {which}are waiting"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f} MiB"
