"""Equal work under way is shared; its waiters do not disturb each other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from app.kit.singleflight import FlightCancelled, SingleFlight


@dataclass(slots=True)
class Work:
    """Counts its runs and ends when told."""

    result: int = 42
    error: Exception | None = None
    runs: int = 0
    cancelled: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> int:
        self.runs += 1
        try:
            async with asyncio.timeout(20):
                await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.result


Flights = SingleFlight[str, int]


@pytest.fixture
async def flights() -> AsyncIterator[Flights]:
    made: Flights = SingleFlight()
    yield made
    await made.close()


async def callers(
    flights: Flights, work: Work, number: int, flight_key: str = "a"
) -> list[asyncio.Task[tuple[int, bool]]]:
    """Callers who all wait for the work, which has begun."""
    tasks = [asyncio.create_task(flights.run(flight_key, work)) for _ in range(number)]
    await settled()
    return tasks


async def settled() -> None:
    """Lets every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_equal_calls_under_way_run_once(flights: Flights) -> None:
    work = Work()
    tasks = await callers(flights, work, 8)
    work.may_end.set()
    results = await asyncio.gather(*tasks)
    assert work.runs == 1
    assert [result for result, _ in results] == [42] * 8
    assert [started for _, started in results] == [True] + [False] * 7


async def test_other_keys_run_apart(flights: Flights) -> None:
    one, two = Work(1), Work(2)
    tasks = [
        *await callers(flights, one, 2, "a"),
        *await callers(flights, two, 2, "b"),
    ]
    one.may_end.set()
    two.may_end.set()
    assert [r for r, _ in await asyncio.gather(*tasks)] == [1, 1, 2, 2]
    assert (one.runs, two.runs) == (1, 1)


async def test_a_later_call_runs_again(flights: Flights) -> None:
    work = Work()
    work.may_end.set()
    assert await flights.run("a", work) == (42, True)
    assert await flights.run("a", work) == (42, True)
    assert work.runs == 2


async def test_an_error_reaches_every_waiter_and_is_not_kept(flights: Flights) -> None:
    work = Work(error=ValueError("no"))
    tasks = await callers(flights, work, 3)
    work.may_end.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["no"] * 3
    work.error = None
    assert await flights.run("a", work) == (42, True)


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_a_cancelled_caller_does_not_stop_the_work(
    flights: Flights, leaver: int
) -> None:
    work = Work()
    tasks = await callers(flights, work, 3)
    tasks[leaver].cancel()
    await settled()
    assert tasks[leaver].cancelled()
    work.may_end.set()
    staying = [task for task in tasks if task is not tasks[leaver]]
    assert [r for r, _ in await asyncio.gather(*staying)] == [42, 42]
    assert (work.runs, work.cancelled) == (1, 0)


async def test_work_that_nobody_waits_for_is_cancelled(flights: Flights) -> None:
    work = Work()
    tasks = await callers(flights, work, 3)
    for task in tasks:
        task.cancel()
    await settled()
    assert work.cancelled == 1


async def test_who_comes_after_the_last_waiter_left_starts_afresh(
    flights: Flights,
) -> None:
    left, fresh = Work(1), Work(2)
    [task] = await callers(flights, left, 1)
    task.cancel()
    # The cancelled caller and the newcomer take their turns before the old work.
    newcomer = asyncio.create_task(flights.run("a", fresh))
    fresh.may_end.set()
    assert await newcomer == (2, True)
    assert left.cancelled == 1


async def test_a_waiters_deadline_is_its_own(flights: Flights) -> None:
    work = Work()
    [patient] = await callers(flights, work, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await flights.run("a", work)
    work.may_end.set()
    assert await patient == (42, True)


async def test_closing_cancels_the_work_and_tells_its_waiters(flights: Flights) -> None:
    work = Work()
    tasks = await callers(flights, work, 2)
    await flights.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [FlightCancelled] * 2
    assert work.cancelled == 1


async def test_an_error_after_everyone_left_is_not_reported_to_the_loop(
    flights: Flights,
) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context)
    )

    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise ValueError("on the way out") from error
        return 0

    task = asyncio.create_task(flights.run("a", stubborn))
    await settled()
    task.cancel()
    await settled()
    assert task.cancelled()
    assert reported == []
