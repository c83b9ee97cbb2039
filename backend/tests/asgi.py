"""Runs an ASGI application the way a server does: lifespan first, state shared."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

STEP_TIMEOUT_S = 30.0


class _Lifespan:
    """The lifespan call of one application, in a task of its own."""

    def __init__(self, app: ASGIApp, state: dict[str, object]) -> None:
        self._app = app
        self._scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": state,
        }
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self.task = asyncio.create_task(self._call())

    async def _call(self) -> None:
        await self._app(self._scope, self._to_app.get, self._from_app.put)

    async def step(self, name: str) -> None:
        """Sends `lifespan.<name>`; raises what the application raises over it."""
        self._to_app.put_nowait({"type": f"lifespan.{name}"})
        answer = asyncio.create_task(self._from_app.get())
        await asyncio.wait(
            [answer, self.task],
            timeout=STEP_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if answer.done():
            message = answer.result()
            assert message["type"] == f"lifespan.{name}.complete", message
            return
        answer.cancel()
        assert self.task.done(), f"{name} took longer than {STEP_TIMEOUT_S:g} s"
        self.task.result()
        raise AssertionError(f"the application ended at {name} without a word")

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=STEP_TIMEOUT_S)


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[ASGIApp]:
    """Enters the lifespan of `app`; what is given hands its state to each request."""
    state: dict[str, object] = {}
    lifespan = _Lifespan(app, state)

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": state.copy()}, receive, send)

    try:
        await lifespan.step("startup")
        yield with_state
        await lifespan.step("shutdown")
    finally:
        await lifespan.close()
