"""Processes ask each other, and nobody waits for one who does not answer."""

import asyncio
from pathlib import Path

from app.observability.siblings import ALONE, Place, Siblings


def crew(folder: Path) -> list[Siblings]:
    return [Siblings(Place(slot, 3, folder)) for slot in range(3)]


async def test_every_other_process_is_asked(tmp_path: Path) -> None:
    one, two, three = crew(tmp_path)
    large = b"x" * 1_000_000
    async with (
        two.answering({b"q": lambda: b"two"}),
        three.answering({b"q": lambda: large}),
    ):
        assert await one.ask(b"q") == {1: b"two", 2: large}
        assert await two.ask(b"q") == {2: large}


async def test_who_is_not_there_is_left_out(tmp_path: Path) -> None:
    one, two, _ = crew(tmp_path)
    async with two.answering({b"q": lambda: b"two"}):
        assert await one.ask(b"q") == {1: b"two"}
    assert await one.ask(b"q") == {}
    assert await one.ask(b"unheard of") == {}


async def test_who_does_not_answer_is_left_out_in_time(tmp_path: Path) -> None:
    one, two, _ = crew(tmp_path)
    held = asyncio.Event()

    async def hold(_reader: object, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    silent = await asyncio.start_unix_server(hold, tmp_path / "2.sock")
    async with silent, two.answering({b"q": lambda: b"two"}):
        assert await one.ask(b"q") == {1: b"two"}
        held.set()


async def test_a_process_takes_the_socket_of_a_dead_one(tmp_path: Path) -> None:
    one, two, _ = crew(tmp_path)
    (tmp_path / "1.sock").touch()
    async with two.answering({b"q": lambda: b"two"}):
        assert await one.ask(b"q") == {1: b"two"}


def test_what_is_kept_is_read_by_all(tmp_path: Path) -> None:
    one, two, _ = crew(tmp_path)
    assert two.kept(0) == b""
    one.keep(b"first")
    one.keep(b"second")
    assert two.kept(0) == b"second"


async def test_alone_there_is_nobody_to_ask() -> None:
    siblings = Siblings(ALONE)
    async with siblings.answering({}):
        assert await siblings.ask(b"q") == {}
