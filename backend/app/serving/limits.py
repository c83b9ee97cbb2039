"""Time limits: a request's own, a model's and the server's. The earliest ends a wait.

A caller's own limit ends its wait and nobody else's, since callers may share a run or a
load. The model's and the server's are the run's: they stop it for all who wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from app.errors import InferenceTimeout
from app.serving.settings import ServingSettings

T = TypeVar("T")

# A label of the metrics.
Whose: TypeAlias = Literal["request", "model", "server"]


class Deadline(NamedTuple):
    """An instant of `time.monotonic()`, and the limit it comes from in seconds."""

    at: float
    limit_s: float

    @classmethod
    def after(cls, limit_s: float, *, now: float | None = None) -> "Deadline":
        return cls((time.monotonic() if now is None else now) + limit_s, limit_s)


def deadline_after(limit_s: float | None) -> Deadline | None:
    return None if limit_s is None else Deadline.after(limit_s)


def earliest(first: Deadline | None, second: Deadline | None) -> Deadline | None:
    if first is None or second is None:
        return first or second
    return min(first, second)


@dataclass(frozen=True, slots=True)
class RunLimit:
    """When a run is stopped, and by whose limit."""

    at: float
    whose: Whose
    limit_s: float

    def ran_past(self) -> InferenceTimeout:
        return InferenceTimeout(
            f"the prediction took longer than {self._name} and was stopped; send less "
            f"at once, or have {_SETTING[self.whose]} raised"
        )

    def loaded_past(self) -> InferenceTimeout:
        return InferenceTimeout(
            f"the model was still being loaded when {self._name} had passed; the load "
            "goes on, so ask again in a moment"
        )

    @property
    def _name(self) -> str:
        return f"the {self.whose}'s limit of {self.limit_s:g} s"


_SETTING: Final = {
    "model": "its model_metadata.serving.timeout_s",
    "server": "INFERENCE_TIMEOUT_S",
}


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The server's limit, and who is told whenever a limit ends something."""

    server_s: float
    on_passed: Callable[[Whose], None] | None = None

    def of_run(self, settings: ServingSettings, deadline: float) -> RunLimit:
        """The earlier of the model's limit and `deadline`, which is the server's."""
        own_s = settings.timeout_s
        if own_s is not None:
            at = time.monotonic() + own_s
            if at < deadline:
                return RunLimit(at, "model", own_s)
        return RunLimit(deadline, "server", self.server_s)

    def passed(self, whose: Whose) -> None:
        if self.on_passed is not None:
            self.on_passed(whose)

    async def within(self, own: Deadline | None, work: Awaitable[T]) -> T:
        """What `work` gives; InferenceTimeout past the request's own limit, if any."""
        if own is None:
            return await work
        try:
            return await until(own.at, work)
        except Late:
            self.passed("request")
            raise _own_passed(own.limit_s) from None


DEFAULT_TIME_LIMITS: Final = TimeLimits(server_s=30.0)


class Late(Exception):
    """The instant has passed. Not TimeoutError, which the work may raise itself."""


async def until(at: float, work: Awaitable[T]) -> T:
    """What `work` gives; Late, with `work` cancelled, past this instant."""
    try:
        async with asyncio.timeout(at - time.monotonic()) as scope:
            return await work
    except TimeoutError:
        if scope.expired():
            raise Late from None
        raise


def _own_passed(limit_s: float) -> InferenceTimeout:
    return InferenceTimeout(
        f"the prediction took longer than the {limit_s:g} s that the request gave it; "
        "allow more time or send less at once"
    )
