"""Threads of their own."""

import threading

import pytest

from app.kit.own_threads import OwnThreads


async def test_they_give_what_the_work_gives_or_raises() -> None:
    threads = OwnThreads(1)
    assert await threads.run(max, 1, 2) == 2
    assert (await threads.run(threading.current_thread)).name.startswith("mlforge-file")
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    await threads.close()
