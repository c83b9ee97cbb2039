"""HTTP and gRPC on one event loop, from their ports' opening to their end."""

import asyncio
import logging
import signal
import socket
import time
from types import FrameType
from typing import Final

import typer
import uvicorn

from app.cli.announce import Listening
from app.cli.http_protocol import NOSNIFF, GuardedProtocol
from app.config import Settings
from app.kit.interpreter import settle
from app.main import create_app
from app.observability.siblings import ALONE, Place
from app.rpc.server import PortUnavailable, RpcServer
from app.runtime.identity import StartRefused, is_open


class _InOneLine(logging.Filter):
    """Cuts the stack that uvicorn shows where a person is told what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        last = record.getMessage().rstrip().rpartition("\n")[2]
        name, _, words = last.partition(": ")
        if name.endswith(StartRefused.__qualname__):
            record.msg, record.args = words, ()
        return True


# One: a filter that is there is not added again.
_ONE_LINE: Final = _InOneLine()


class Server(uvicorn.Server):
    """HTTP, and gRPC beside it. Tells the application as soon as a signal asks it to
    stop: requests under way end, readiness says no from then on."""

    def __init__(self, settings: Settings, *, place: Place = ALONE) -> None:
        self.application = create_app(settings, place=place)
        self.failed = False
        logging.getLogger("uvicorn.error").addFilter(_ONE_LINE)
        self._grace_s = settings.shutdown_grace_s
        self._is_open = is_open(settings)
        self._place = place
        self._rpc: RpcServer | None = None
        super().__init__(
            uvicorn.Config(
                self.application,
                host=settings.host,
                port=settings.port,
                loop="uvloop",
                http=GuardedProtocol,
                access_log=False,
                log_config=None,
                server_header=False,
                headers=[NOSNIFF],
                timeout_graceful_shutdown=settings.shutdown_grace_s,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends in order and with status 0; a second Ctrl-C ends at once.

        uvicorn's own would raise the signal again at the end.
        """
        runtime = getattr(self.application.state, "runtime", None)
        if runtime is not None:
            runtime.stop()
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Makes the headers of all answers, which may be asked for before its loop runs.
        await self.on_tick(0)
        await super().startup(sockets)
        if not self.started:
            return
        try:
            rpc_port = await self._start_rpc()
        except PortUnavailable as error:
            self.on_failure(str(error))
            self.failed = self.should_exit = True
            return
        settle()
        await self.on_started(self._listening(rpc_port))

    async def on_started(self, listening: Listening) -> None:
        """Both ports are open."""

    def on_failure(self, words: str) -> None:
        """A port can't be had."""
        typer.echo(words, err=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends gRPC first: the runtime under both closes with HTTP."""
        if self._rpc is not None:
            for server in self.servers:
                server.close()
            began = time.monotonic()
            await self._stop_rpc(self._rpc)
            # One time of grace for both.
            left_s = self._grace_s - (time.monotonic() - began)
            self.config.timeout_graceful_shutdown = max(1, int(left_s))
        await super().shutdown(sockets)

    async def _start_rpc(self) -> int | None:
        """The port of gRPC, None where it is turned off."""
        runtime = self.application.state.runtime
        if not runtime.settings.grpc_port:
            return None
        self._rpc = RpcServer(runtime, shares_port=self._place.is_shared)
        return await self._rpc.start()

    async def _stop_rpc(self, rpc: RpcServer) -> None:
        stopping = asyncio.create_task(rpc.stop(self._grace_s))
        while not stopping.done():
            if self.force_exit:
                await rpc.stop(0)
            await asyncio.wait({stopping}, timeout=0.1)

    def _listening(self, rpc_port: int | None) -> Listening:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return Listening(host, port, rpc_port, is_open=self._is_open)
