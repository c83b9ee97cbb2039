"""Keeps the sessions of pinned versions in memory."""

import asyncio
from contextlib import suppress

import structlog

from app.engine.pool import SessionPool
from app.errors import MLForgeError
from app.serving.routes import Routes, VersionRecord
from app.serving.runner import Runner

# A version that could not be loaded is tried again after this, or at the next change.
_TRY_AGAIN_S = 30.0

_log = structlog.get_logger(__name__)


class PinnedModels:
    """`refresh` is called after each change of the routing table."""

    def __init__(self, routes: Routes, runner: Runner, pool: SessionPool) -> None:
        self._routes = routes
        self._runner = runner
        self._pool = pool
        self._records: list[VersionRecord] = []
        self._changed = asyncio.Event()

    def refresh(self) -> None:
        self._records = self._routes.pinned()
        self._pool.pin(frozenset(r.session_key for r in self._records if r.artifact))
        self._changed.set()

    async def keep_loaded(self) -> None:
        """Loads them for ever, as they appear."""
        while True:
            self._changed.clear()
            # One that waits for room holds up none of the others.
            await asyncio.gather(*map(self._load, self._records))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _TRY_AGAIN_S)

    async def _load(self, record: VersionRecord) -> None:
        if self._runner.is_loaded(record):
            return
        try:
            await self._runner.load(record)
        except MLForgeError as error:
            name = f"{record.name}:{record.version}"
            _log.warning("pinned_model_not_loaded", model=name, reason=error.detail)
