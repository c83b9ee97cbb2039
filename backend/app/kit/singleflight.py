"""Equal work asked for at the same time is done once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class FlightCancelled(Exception):
    """The work was cancelled from elsewhere, not by the caller who gets this."""


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiters: int = 0


class SingleFlight(Generic[K, T]):
    """Runs work in a task of its own that belongs to all who wait for it.

    A caller who is cancelled leaves the others alone; when the last one leaves,
    the work is cancelled. An error reaches every waiter.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()

    async def run(
        self, flight_key: K, work: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """The result, and whether this caller started the work."""
        flight = self._flights.get(flight_key)
        started = flight is None
        if flight is None:
            flight = self._start(flight_key, work)
        return await self._result(flight_key, flight), started

    def is_under_way(self, flight_key: K) -> bool:
        return flight_key in self._flights

    async def close(self) -> None:
        """Cancels what is under way and waits until it has ended."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, flight_key: K, work: Callable[[], Awaitable[T]]) -> _Flight[T]:
        flight = _Flight(asyncio.ensure_future(_call(work)))
        self._flights[flight_key] = flight
        self._tasks.add(flight.task)
        flight.task.add_done_callback(lambda task: self._ended(flight_key, flight))
        return flight

    async def _result(self, flight_key: K, flight: _Flight[T]) -> T:
        flight.waiters += 1
        try:
            # Unlike awaiting the task, this does not cancel it with its waiter.
            await asyncio.wait((flight.task,))
        finally:
            flight.waiters -= 1
            if flight.waiters == 0 and not flight.task.done():
                flight.task.cancel()
                self._forget(flight_key, flight)
        if flight.task.cancelled():
            raise FlightCancelled
        return flight.task.result()

    def _ended(self, flight_key: K, flight: _Flight[T]) -> None:
        self._tasks.discard(flight.task)
        self._forget(flight_key, flight)
        if not flight.task.cancelled():
            flight.task.exception()  # Seen, so not reported if no waiter is left.

    def _forget(self, flight_key: K, flight: _Flight[T]) -> None:
        # A flight whose waiters all left is not joined: newcomers start afresh.
        if self._flights.get(flight_key) is flight:
            del self._flights[flight_key]


async def _call(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
