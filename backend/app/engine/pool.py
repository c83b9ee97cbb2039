"""Loaded models: each is loaded once, and they stay within a budget of memory.

Who was used longest ago goes when another needs the room, unless it is pinned or runs
of it are going on. What is in memory, and what it takes, `residents.py` knows.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.engine.loading import load_session
from app.engine.memory import give_memory_back, map_large_blocks
from app.engine.plan import SessionPlan
from app.engine.pool_watch import LoadResult, NoPoolWatch, PoolWatch
from app.engine.residents import Residents
from app.engine.session import Execution, Session
from app.engine.warm_up import warm_up
from app.errors import ModelLoadFailed, Overloaded, ShuttingDown

OpenDirectory = Callable[[], Awaitable[Path]]
_DEFAULT_PLAN = SessionPlan()

# Loads that wait for room or for a thread. More would end long after their askers.
_MOST_LOADS = 256
# A session that is still there this long after it was let go of has a run that goes
# on, or is part of a cycle that an error made with the frames it went through.
_FREED_IN_S = 0.1
_NO_LEASE: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True, slots=True)
class _Order:
    """One load. `size_bytes` is what its session is expected to take."""

    digest: str
    open_directory: OpenDirectory
    plan: SessionPlan
    size_bytes: int
    warm_up: bool


class SessionPool:
    """Belongs to one event loop. A session is known by its model's digest and by how it
    is loaded, where that is not as for the others: that is its key.

    `load_threads` loads go on at the same time. Sessions take `memory_budget_bytes` at
    most, by the sizes their askers gave; None is no limit. A load that finds no room
    waits `room_wait_s` for models in use to become idle.
    """

    def __init__(
        self,
        *,
        load_threads: int = 2,
        memory_budget_bytes: int | None = None,
        room_wait_s: float = 5.0,
        watch: PoolWatch | None = None,
    ) -> None:
        map_large_blocks()
        self._room_wait_s = room_wait_s
        self._watch = watch or NoPoolWatch()
        self._loaders = ThreadPoolExecutor(load_threads, "mlforge-load")
        # Freeing a large model takes a while, and no load may hold it up.
        self._freer = ThreadPoolExecutor(1, "mlforge-free")
        self._residents = Residents(
            budget_bytes=memory_budget_bytes,
            on_idle=self._notify,
            on_gone=self._gone_somewhere,
        )
        self._loading: dict[str, asyncio.Task[Session]] = {}
        self._load_tasks: set[asyncio.Task[Session]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = 0
        self._change = asyncio.Event()
        self._closed = False
        self._will_trim = False

    @property
    def models_loaded(self) -> int:
        return len(self._residents)

    @property
    def memory_bytes(self) -> int:
        """What sessions take, with those being loaded and those not yet freed."""
        return self._residents.taken_bytes

    @property
    def memory_budget_bytes(self) -> int | None:
        return self._residents.budget_bytes

    def is_loaded(self, digest: str) -> bool:
        return digest in self._residents

    def loaded(self, digest: str) -> Session | None:
        """Its session, which counts as used now."""
        resident = self._residents.find(digest)
        return None if resident is None else resident.session

    def execution(self, digest: str) -> Execution | None:
        """How its session runs, which does not count as use; None without one."""
        session = self._residents.look_at(digest)
        return None if session is None else session.execution

    def lease(self, digest: str) -> AbstractContextManager[None]:
        """While entered, the session of this digest is not evicted, if there is one."""
        return self._residents.find(digest) or _NO_LEASE

    def pin(self, digests: frozenset[str]) -> None:
        """These are never evicted from now on, and others may be."""
        self._residents.pinned = digests
        self._notify()

    async def load(
        self,
        digest: str,
        open_directory: OpenDirectory,
        plan: SessionPlan = _DEFAULT_PLAN,
        *,
        size_bytes: int = 0,
        warm_up: bool = False,
    ) -> Session:
        """The session of this digest; however many ask, it is loaded once.

        An asker who is cancelled does not stop the load for the others. Raises
        ModelLoadFailed where `size_bytes` do not fit into the budget.
        """
        session = self.loaded(digest)
        if session is not None:
            return session
        task = self._loading.get(digest)
        if task is None:
            self._refuse_more_loads()
            order = _Order(digest, open_directory, plan, size_bytes, warm_up)
            task = self._start(order)
        return await asyncio.shield(task)

    def drop(self, digest: str) -> None:
        """Forgets the session. Runs that have it go on and finish."""
        self._loading.pop(digest, None)
        self._let_go(digest)

    async def close(self) -> None:
        """Loads nothing any more; ends what is being loaded."""
        self._closed = True
        for task in self._load_tasks:
            task.cancel()
        await asyncio.gather(*self._load_tasks, return_exceptions=True)
        await asyncio.to_thread(self._loaders.shutdown)
        await asyncio.to_thread(self._freer.shutdown)
        self._residents.clear()

    def _refuse_more_loads(self) -> None:
        if self._closed:
            raise ShuttingDown("the server is shutting down; try another")
        if len(self._load_tasks) >= _MOST_LOADS:
            raise Overloaded(
                f"{len(self._load_tasks)} models are being loaded, which is the limit; "
                "try again in a moment"
            )

    def _start(self, order: _Order) -> asyncio.Task[Session]:
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._load(order))
        self._loading[order.digest] = task
        self._load_tasks.add(task)
        task.add_done_callback(partial(self._load_ended, order.digest))
        return task

    async def _load(self, order: _Order) -> Session:
        result: LoadResult = "error"
        started = time.perf_counter()
        try:
            await self._take_room(order.size_bytes)
            session = await self._load_into_room(order)
            result = "ok"
        except ModelLoadFailed:
            result = "no_room"
            raise
        finally:
            self._watch.note_load(result, time.perf_counter() - started)
        if self._loading.get(order.digest) is asyncio.current_task():
            self._residents.keep(order.digest, session, order.size_bytes)
        return session

    async def _load_into_room(self, order: _Order) -> Session:
        loop = asyncio.get_running_loop()
        try:
            directory = await order.open_directory()
            session = await loop.run_in_executor(
                self._loaders, _load_here, directory, order
            )
        except BaseException:
            self._residents.release(order.size_bytes)
            self._notify()
            raise
        self._residents.bear(session, order.size_bytes)
        return session

    async def _take_room(self, size_bytes: int) -> None:
        """Reserves the bytes, and lets go of idle sessions for them."""
        self._residents.refuse_what_never_fits(size_bytes)
        loop = asyncio.get_running_loop()
        limit = loop.time() + self._room_wait_s
        has_collected = False
        while not self._residents.reserve(size_bytes):
            self._evict_for(size_bytes)
            if has_collected or not self._residents.leaving_bytes:
                if not await self._changed_before(limit):
                    raise self._residents.refusal(size_bytes)
            elif not await self._changed_before(min(limit, loop.time() + _FREED_IN_S)):
                await loop.run_in_executor(self._freer, gc.collect)
                has_collected = True

    def _evict_for(self, size_bytes: int) -> None:
        for digest in self._residents.victims(size_bytes):
            self._watch.note_eviction()
            self._let_go(digest)

    async def _changed_before(self, limit: float) -> bool:
        """Whether bytes or sessions became free before this time of the loop's."""
        change = self._change
        self._waiting += 1
        try:
            async with asyncio.timeout_at(limit):
                await change.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def _notify(self) -> None:
        if self._waiting:
            self._change.set()
            self._change = asyncio.Event()

    def _let_go(self, digest: str) -> None:
        session = self._residents.take_out(digest)
        if session is not None and not self._closed:
            # Its last reference goes there, unless runs have it.
            self._freer.submit(_lose, session)

    def _gone_somewhere(self, number: int) -> None:
        """In whatever thread had the last reference."""
        loop = self._loop
        with suppress(RuntimeError):  # The loop has ended, and with it all counting.
            if loop is not None:
                loop.call_soon_threadsafe(self._gone, number)

    def _gone(self, number: int) -> None:
        self._residents.forget(number)
        self._notify()
        if not self._will_trim and not self._closed:
            self._will_trim = True
            self._freer.submit(self._trim)

    def _trim(self) -> None:
        # Sessions that go from here on may come too late for this trim.
        self._will_trim = False
        give_memory_back()

    def _load_ended(self, digest: str, task: asyncio.Task[Session]) -> None:
        self._load_tasks.discard(task)
        if self._loading.get(digest) is task:
            del self._loading[digest]
        if not task.cancelled():
            # Retrieved here, for every asker may be gone by now.
            task.exception()


def _lose(session: Session) -> None:
    del session


def _load_here(directory: Path, order: _Order) -> Session:
    session = load_session(directory, order.plan)
    if order.warm_up:
        warm_up(session)
    return session
