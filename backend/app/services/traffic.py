"""Keeps the routing table as the database says."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from app.crud import models, registry_clock, versions
from app.database import Database, ReadSession
from app.errors import AliasNotFound, ModelNotFound, ModelNotReady, NoDefaultModel
from app.kit.versions import version_order
from app.models.version import Version
from app.services.records import record_of
from app.serving.routes import ModelRoutes, Routes

OnGone = Callable[[str], None]
OnChange = Callable[[], None]
Beside = Callable[[ReadSession], Awaitable[None]]

# What a table that is a moment behind says of a model that another process changed.
MISSED: Final = (ModelNotFound, AliasNotFound, ModelNotReady, NoDefaultModel)
# However many callers miss, the database is asked no more often than this.
_LEAST_PAUSE_S: Final = 0.05
_MISS_WAITS_S: Final = 0.5

_log = structlog.get_logger(__name__)


class Traffic:
    """`on_gone` is told each session that no ready version needs any more, by key, and
    `on_change` is called after each change of the table. `beside` loads what else goes
    by the registry's clock."""

    def __init__(
        self,
        database: Database,
        routes: Routes,
        *,
        poll_s: float,
        on_gone: OnGone,
        on_change: OnChange = lambda: None,
        beside: Beside | None = None,
    ) -> None:
        self.errors = 0
        self._database = database
        self._routes = routes
        self._poll_s = poll_s
        self._on_gone = on_gone
        self._on_change = on_change
        self._beside = beside
        self._seen: int | None = None
        self._failing = False
        # Without it, a slow load could push over what a later one has pushed.
        self._one_at_a_time = asyncio.Lock()
        self._missed = asyncio.Event()
        # Done once the next look, which has not begun, has ended.
        self._next_look: asyncio.Future[bool] = asyncio.Future()

    @property
    def is_loaded(self) -> bool:
        """Whether the table was ever filled."""
        return self._seen is not None

    async def refresh(self, names: Collection[str] | None = None) -> None:
        """Routes these models, or all of them, by what is committed now."""
        async with self._one_at_a_time:
            if names is None or self._seen is None:
                await self._load_all()
            elif names:
                await self._load(names)

    async def refresh_beside(self) -> None:
        """Loads what else goes by the clock, in turn with the looks."""
        async with self._one_at_a_time, self._database.reading() as db:
            await self._load_beside(db)

    async def catch_up(self) -> None:
        """Routes what changed since the last look, whoever changed it."""
        async with self._one_at_a_time:
            async with self._database.reading() as db:
                now = await registry_clock.current_revision(db)
                if now == self._seen:
                    return
                if self._seen is None or now < self._seen:
                    names = None  # Another history: a restored or new database.
                else:
                    names = await models.names_changed_since(db, self._seen)
                    await self._load_beside(db)
            if names is None:
                await self._load_all()
            else:
                await self._load(names)
                self._seen = now

    async def catch_up_on_miss(self) -> bool:
        """Waits for a look that begins after this call, and says whether one did in
        time: who `MISSED` a model may then ask the table again.

        All who miss at the same time share one look, and looks have a least pause.
        """
        look = self._next_look
        self._missed.set()
        await asyncio.wait({look}, timeout=_MISS_WAITS_S)
        return look.done() and look.result()

    async def next_look(self) -> None:
        """Waits for the end of a look that begins after this call, without asking for
        one: callers who have it done at will cost the database nothing."""
        await asyncio.wait({self._next_look}, timeout=_MISS_WAITS_S)

    async def follow(self) -> None:
        """Catches up for ever; in an outage the table stays as it was."""
        while True:
            await self._pause()
            look, self._next_look = self._next_look, asyncio.Future()
            look.set_result(await self._look())

    async def _pause(self) -> None:
        """Until the next look is due: soon where somebody misses a model."""
        began = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._missed.wait()
        await asyncio.sleep(_LEAST_PAUSE_S - (time.monotonic() - began))
        self._missed.clear()

    async def _look(self) -> bool:
        try:
            await self.catch_up()
        except Exception as exc:  # The edge of a task that must outlive all.
            self.errors += 1
            if not self._failing:
                _log.warning("registry_unreachable", error=repr(exc))
            self._failing = True
            return False
        self._failing = False
        return True

    async def _load_all(self) -> None:
        async with self._database.reading() as db:
            revision = await registry_clock.current_revision(db)
            rows = await versions.all_versions(db)
            await self._load_beside(db)
        self._push(rows, {*self._routes.names(), *(row.name for row in rows)})
        self._seen = revision

    async def _load_beside(self, db: ReadSession) -> None:
        if self._beside is not None:
            await self._beside(db)

    async def _load(self, names: Collection[str]) -> None:
        async with self._database.reading() as db:
            rows = await versions.versions_of(db, names)
        self._push(rows, names)

    def _push(self, rows: Sequence[Version], names: Iterable[str]) -> None:
        found: defaultdict[str, list[Version]] = defaultdict(list)
        for row in rows:
            found[row.name].append(row)
        gone = self._routes.replace(
            {name: _routes_of(name, found[name]) for name in names}
        )
        for digest in gone:
            self._on_gone(digest)
        self._on_change()


def _routes_of(name: str, rows: list[Version]) -> ModelRoutes:
    rows.sort(
        key=lambda row: version_order(row.version, row.created_at, row.id),
        reverse=True,
    )
    aliases = {alias: row.id for row in rows for alias in row.aliases}
    return ModelRoutes(name, tuple(map(record_of, rows)), aliases)
