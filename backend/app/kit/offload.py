"""Work that may be long goes to a thread; short work does not pay for the trip."""

import asyncio
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from app.kit.own_threads import OwnThreads

P = ParamSpec("P")
T = TypeVar("T")

# What takes about as long as the trip to a thread and back.
SHORT_BYTES = 64 * 1024


# Called now and then by long work: raises Stopped once nobody waits for it.
Check: TypeAlias = Callable[[], None]


class Stopped(Exception):
    """Nobody waits for this work any more."""


def never_stopped() -> None:
    return


async def run_checked(
    threads: OwnThreads,
    work: Callable[Concatenate[Check, P], T],
    *arguments: P.args,
    **named: P.kwargs,
) -> T:
    """`work` in one of the threads. A caller that is cancelled waits until it has ended, which
    the first check after that makes it do."""
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    task = asyncio.create_task(threads.run(work, check, *arguments, **named))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # Looked at, or asyncio reports it as overlooked.
        raise


async def run_sized(
    size_bytes: int, work: Callable[P, T], *arguments: P.args, **named: P.kwargs
) -> T:
    """`work`, right here when it has few bytes to go through, else in a thread.

    A long call into C may still hold Python's lock; a long loop does not.
    """
    if size_bytes < SHORT_BYTES:
        return work(*arguments, **named)
    return await asyncio.to_thread(work, *arguments, **named)
