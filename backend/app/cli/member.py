"""A server process among others: it tells the supervisor of its state, and hears of
theirs."""

import asyncio
import json
import logging
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.cli.announce import Listening
from app.cli.example import show_example
from app.cli.seat import Post
from app.cli.server import Server
from app.cli.supervisor import GAVE_UP
from app.config import Settings
from app.observability.siblings import Place
from app.runtime.identity import admin_key_file
from app.services.fleet import Workers


def serve_seat(settings: Settings, post: Post, *, folder: Path, example: bool) -> int:
    """Serves until told to stop, and gives the exit status."""
    server = Member(settings, post, folder=folder, example=example)
    words = _LastWords()
    with suppress(SystemExit):  # How uvicorn ends where the application can't start.
        server.run(post.listeners)
    if server.started and not server.failed:
        return 0
    post.channel.sendall(_line({"failed": server.words or words.said}))
    return GAVE_UP


class Member(Server):
    """Ends in order when the supervisor is gone."""

    def __init__(
        self, settings: Settings, post: Post, *, folder: Path, example: bool
    ) -> None:
        place = Place(post.slot, settings.workers, folder)
        super().__init__(settings, place=place)
        self.words = ""
        self._folder = folder
        self._key_file = admin_key_file(settings) if settings.auth_is_on else None
        self._channel = post.channel
        self._example = example and post.slot == 0 and post.is_first
        self._tasks: set[asyncio.Task[None]] = set()

    async def on_started(self, listening: Listening) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=self._channel)
        writer.write(_line({"rpc_port": listening.rpc_port}))
        self._keep(asyncio.create_task(self._hear(reader, writer, listening)))

    def on_failure(self, words: str) -> None:
        self.words = words

    async def _hear(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        listening: Listening,
    ) -> None:
        """Until the supervisor is gone: then nobody would replace or stop this."""
        fleet = self.application.state.runtime.fleet
        with suppress(OSError):
            while line := await reader.readline():
                workers = Workers(**json.loads(line))
                fleet.note(workers)
                if self._example and workers.alive == workers.total:
                    self._example = False
                    self._keep(
                        asyncio.create_task(show_example(listening.url, self._key_file))
                    )
        writer.close()
        if not self.should_exit:
            logging.getLogger(__name__).error("the supervisor is gone: stopping")
            self.handle_exit(signal.SIGTERM, None)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _LastWords(logging.Handler):
    """The last line that a start which failed had to say."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said = ""
        logging.getLogger("uvicorn.error").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        lines = record.getMessage().strip().splitlines()
        # What uvicorn says last is that it ends.
        if lines and "startup failed" not in lines[-1]:
            self.said = lines[-1]


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"
