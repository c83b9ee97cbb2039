import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.api.hangup import unless_hung_up


class Caller:
    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_work_gives_its_result_while_the_caller_waits() -> None:
    async def work() -> int:
        return 7

    assert await unless_hung_up(Caller().receive, work()) == 7


async def test_work_is_cancelled_when_the_caller_goes() -> None:
    caller = Caller()
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.create_task(unless_hung_up(caller.receive, work()))
    caller.gone.set()
    with pytest.raises(ClientDisconnect):
        await task
    assert stopped.is_set()


async def test_a_cancel_from_elsewhere_stays_a_cancel() -> None:
    caller = Caller()
    task = asyncio.create_task(unless_hung_up(caller.receive, asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_reaches_the_caller() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless_hung_up(Caller().receive, work())
