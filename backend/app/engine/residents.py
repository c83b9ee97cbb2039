"""The sessions that are in memory, and what they take of the budget."""

import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from app.engine.session import Session
from app.errors import ModelLoadFailed

# A session that can never fit is not asked for again in a moment.
_RETRY_NEVER_FITS_S, _RETRY_WHEN_BUSY_S = 60, 2


@dataclass(slots=True, eq=False)
class Resident:
    """A session that is kept, and a lease on it while entered."""

    digest: str
    session: Session
    size_bytes: int
    on_idle: Callable[[], None]
    leases: int = 0

    def __enter__(self) -> None:
        self.leases += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leases -= 1
        if not self.leases:
            self.on_idle()


class Residents:
    """Used by one thread, save for `on_gone`, which any thread may call.

    A session takes its bytes from `reserve` on until nothing refers to it any more,
    however long after it was taken out: `on_gone` is called at that moment with the
    argument that `forget` wants.
    """

    def __init__(
        self,
        *,
        budget_bytes: int | None,
        on_idle: Callable[[], None],
        on_gone: Callable[[int], None],
    ) -> None:
        self.budget_bytes = budget_bytes
        self.taken_bytes = 0
        self.pinned: frozenset[str] = frozenset()
        self._on_idle = on_idle
        self._on_gone = on_gone
        # The one used longest ago is first.
        self._kept: OrderedDict[str, Resident] = OrderedDict()
        self._kept_bytes = 0
        # By a number for each, for an id is given again once its object is gone.
        self._alive: dict[int, tuple[weakref.ref[Session], int]] = {}
        self._born = 0
        self._reserved_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    @property
    def leaving_bytes(self) -> int:
        """What those take that were taken out and are not gone."""
        return self.taken_bytes - self._kept_bytes - self._reserved_bytes

    def find(self, digest: str) -> Resident | None:
        """It counts as used now."""
        resident = self._kept.get(digest)
        if resident is not None:
            self._kept.move_to_end(digest)
        return resident

    def look_at(self, digest: str) -> Session | None:
        resident = self._kept.get(digest)
        return None if resident is None else resident.session

    def reserve(self, size_bytes: int) -> bool:
        """Takes the bytes of a session to come, if they are free."""
        if not self._fits(self.taken_bytes, size_bytes):
            return False
        self._reserved_bytes += size_bytes
        self.taken_bytes += size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        """The session that these were reserved for will not come."""
        self._reserved_bytes -= size_bytes
        self.taken_bytes -= size_bytes

    def bear(self, session: Session, size_bytes: int) -> None:
        """The session that these bytes were reserved for is there."""
        self._born += 1
        number, on_gone = self._born, self._on_gone
        gone = weakref.ref(session, lambda _: on_gone(number))
        self._alive[number] = (gone, size_bytes)
        self._reserved_bytes -= size_bytes

    def forget(self, number: int) -> None:
        """Frees the bytes of a session that is gone."""
        _, size_bytes = self._alive.pop(number)
        self.taken_bytes -= size_bytes

    def keep(self, digest: str, session: Session, size_bytes: int) -> None:
        self.take_out(digest)
        self._kept[digest] = Resident(digest, session, size_bytes, self._on_idle)
        self._kept_bytes += size_bytes

    def take_out(self, digest: str) -> Session | None:
        resident = self._kept.pop(digest, None)
        if resident is None:
            return None
        self._kept_bytes -= resident.size_bytes
        return resident.session

    def clear(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0

    def victims(self, size_bytes: int) -> list[str]:
        """Who has to go so that these bytes become free, the longest unused first.

        Empty where that would not do, or where those already taken out will do.
        """
        staying_bytes = self._kept_bytes + self._reserved_bytes
        chosen: list[str] = []
        for resident in self._kept.values():
            if self._fits(staying_bytes, size_bytes):
                return chosen
            if not resident.leases and resident.digest not in self.pinned:
                chosen.append(resident.digest)
                staying_bytes -= resident.size_bytes
        return chosen if self._fits(staying_bytes, size_bytes) else []

    def refuse_what_never_fits(self, size_bytes: int) -> None:
        """Raises ModelLoadFailed for more than may be taken by one session."""
        budget_bytes = self.budget_bytes
        if budget_bytes is None or size_bytes <= budget_bytes:
            return
        raise ModelLoadFailed(
            f"this model needs about {_mib(size_bytes)} of memory, which is more than "
            f"the whole budget of {_mib(budget_bytes)}: raise MODEL_MEMORY_BUDGET_MB "
            f"to {_whole_mib(size_bytes)} or more",
            retry_after_s=_RETRY_NEVER_FITS_S,
        )

    def refusal(self, size_bytes: int) -> ModelLoadFailed:
        """What there is no room for now, and why."""
        kept = self._kept.values()
        pinned = sum(r.size_bytes for r in kept if r.digest in self.pinned)
        others = self.taken_bytes - pinned
        return ModelLoadFailed(
            f"this model needs about {_mib(size_bytes)} of memory and the budget of "
            f"{_mib(self.budget_bytes or 0)} has no room: {_mib(pinned)} belong to "
            f"pinned versions, {_mib(others)} to models in use or being loaded; try again in a moment, "
            "raise MODEL_MEMORY_BUDGET_MB, or unpin a version",
            retry_after_s=_RETRY_WHEN_BUSY_S,
        )

    def _fits(self, taken_bytes: int, size_bytes: int) -> bool:
        budget_bytes = self.budget_bytes
        return budget_bytes is None or taken_bytes + size_bytes <= budget_bytes


def _mib(size_bytes: int) -> str:
    mib = size_bytes / 2**20
    return f"{mib:.0f} MiB" if mib >= 10 else f"{mib:.2g} MiB"


def _whole_mib(size_bytes: int) -> int:
    return -(-size_bytes // 2**20)
