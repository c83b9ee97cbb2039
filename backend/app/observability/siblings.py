"""How the processes of one port ask each other, over sockets in a folder of theirs.

A question is a line, the answer all that comes until the end. What a process last
counted is kept beside its socket: a process that died goes on counting there until
the next one of its slot takes its counts over.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# A sibling that is busy for longer is asked the next time.
ANSWER_WITHIN_S: Final = 1.0
_QUESTION_BYTES: Final = 256

Answers = Mapping[bytes, Callable[[], bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """A process's place among those that serve one port; their folder if they are
    several."""

    slot: int = 0
    total: int = 1
    folder: Path | None = None

    @property
    def is_shared(self) -> bool:
        return self.folder is not None


ALONE: Final = Place()


class Siblings:
    """Safe for any number of tasks of one event loop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._folder = place.folder or Path()

    @asynccontextmanager
    async def answering(self, answers: Answers) -> AsyncIterator[None]:
        """Answers what others ask, while the block lasts."""
        if not self._place.is_shared:
            yield
            return
        path = self._socket(self._place.slot)
        path.unlink(missing_ok=True)

        async def answer(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    question = (await reader.read(_QUESTION_BYTES)).strip()
                    if question in answers:
                        writer.write(answers[question]())
                        await writer.drain()
            writer.close()

        server = await asyncio.start_unix_server(answer, path)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def ask(self, question: bytes) -> dict[int, bytes]:
        """By slot, the answers of those siblings that answer in time."""
        others = [slot for slot in range(self._place.total) if slot != self._place.slot]
        found = await asyncio.gather(*(self._ask(slot, question) for slot in others))
        return {slot: said for slot, said in zip(others, found, strict=True) if said}

    def keep(self, counts: bytes) -> None:
        """Has this process's counts outlive it, whatever ends it."""
        path = self._kept(self._place.slot)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(counts)
        os.replace(fresh, path)

    def kept(self, slot: int) -> bytes:
        """What the slot's last process kept; nothing if there was none."""
        with suppress(FileNotFoundError):
            return self._kept(slot).read_bytes()
        return b""

    async def _ask(self, slot: int, question: bytes) -> bytes:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reader, writer = await asyncio.open_unix_connection(self._socket(slot))
                try:
                    writer.write(question + b"\n")
                    return await reader.read()
                finally:
                    writer.close()
        return b""

    def _socket(self, slot: int) -> Path:
        return self._folder / f"{slot}.sock"

    def _kept(self, slot: int) -> Path:
        return self._folder / f"{slot}.json"
