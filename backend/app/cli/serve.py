"""`mlforge serve`: one process, or several under a supervisor."""

import asyncio
import gc
import sys
import tempfile
from functools import partial
from pathlib import Path

import typer

from app.cli.announce import Listening, announce
from app.cli.example import show_example
from app.cli.listening import SharedPort, try_port
from app.cli.member import serve_seat
from app.cli.seat import Seat
from app.cli.server import Server
from app.cli.supervisor import GAVE_UP, Supervisor
from app.config import Settings
from app.kit.cpus import available_cpus
from app.rpc.server import port_unavailable
from app.runtime.identity import admin_key_file, is_open


class Alone(Server):
    """The only process of its port."""

    def __init__(self, settings: Settings, *, example: bool) -> None:
        super().__init__(settings)
        self._example = example
        self._key_file = admin_key_file(settings) if settings.auth_is_on else None

    async def on_started(self, listening: Listening) -> None:
        announce(listening)
        if self._example:
            self._showing = asyncio.create_task(
                show_example(listening.url, self._key_file)
            )


def serve(settings: Settings, *, example: bool) -> None:
    """Exits with 3 where it could not start, with 1 where HTTP's port can't be had."""
    _check_port(settings)
    if settings.workers > 1:
        sys.exit(_serve_together(settings, example=example))
    server = Alone(settings, example=example)
    server.run()
    if not server.started or server.failed:
        sys.exit(GAVE_UP)


def share_of(settings: Settings) -> Settings:
    """The settings of one of several processes: what is the machine's is shared out."""
    threads = settings.inference_threads or available_cpus() // settings.workers
    return settings.model_copy(update={"inference_threads": max(1, threads)})


def _serve_together(settings: Settings, *, example: bool) -> int:
    port = SharedPort(settings.host, settings.port)
    rpc_port = _held_rpc_port(settings)
    with tempfile.TemporaryDirectory(prefix="mlforge-") as folder:
        work = partial(
            serve_seat, share_of(settings), folder=Path(folder), example=example
        )
        supervisor = Supervisor(
            [port, *rpc_port],
            work,
            partial(_announce, settings, port),
            workers=settings.workers,
            grace_s=settings.shutdown_grace_s,
        )
        # Keeps the collector from touching, and so copying, pages that all share.
        gc.collect()
        gc.freeze()
        return supervisor.run()


def _announce(settings: Settings, port: SharedPort, first: Seat) -> None:
    announce(
        Listening(
            port.host,
            port.port,
            first.rpc_port,
            settings.workers,
            is_open=is_open(settings),
        )
    )


def _held_rpc_port(settings: Settings) -> list[SharedPort]:
    """gRPC's port, so that no other program gets it while no process has it."""
    if not settings.grpc_port:
        return []
    host, port = settings.host or "0.0.0.0", settings.grpc_port
    try:
        try_port(host, port)
        return [SharedPort(host, port)]
    except OSError:
        typer.echo(str(port_unavailable(host, port)), err=True)
        sys.exit(GAVE_UP)


def _check_port(settings: Settings) -> None:
    """uvicorn would tell of an address that can't be had in its own words."""
    host, port = settings.host, settings.port
    try:
        try_port(host, port)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        message = (
            f"The server can't listen on HOST={host} PORT={port} ({why}): choose "
            "another with HOST= or PORT=."
        )
        typer.secho(message, err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None
