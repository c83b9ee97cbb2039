"""Keeps the keyring as the database says, and the database told of what is used."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog

from app.auth.buckets import Bucket, bucket_of
from app.auth.keyring import KeyRecord, Keyring
from app.auth.limits import NO_LIMITS, KeyLimits
from app.auth.principal import Principal, with_implied
from app.crud import api_keys
from app.database import Database, ReadSession
from app.errors import MLForgeError
from app.models.api_key import ApiKey
from app.models.base import utc_now
from app.services.api_keys import limits_of, owner_of, scopes_of

_LEAST_PAUSE: Final = timedelta(seconds=60)

_log = structlog.get_logger(__name__)


class KeyWatch:
    """`defaults`: the limits of keys that have none of their own."""

    def __init__(
        self, database: Database, keyring: Keyring, defaults: KeyLimits = NO_LIMITS
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._defaults = defaults
        # By owner: a key and its successor share one, and it outlives a look.
        self._buckets: dict[str, Bucket] = {}

    async def load(self, db: ReadSession) -> None:
        """In an outage this raises, and the keys stay as they were.

        One at a time, from when `db` began to read: an older look would make a
        revoked key valid again.
        """
        self._push(await api_keys.standing_keys(db))

    async def note_use(self) -> None:
        """For ever, writes when keys were used: seldom, and never while a call waits."""
        while True:
            await asyncio.sleep(_LEAST_PAUSE.total_seconds())
            await self.write_used()

    async def write_used(self) -> None:
        """What can't be written is not worth an error."""
        used = self._keyring.take_used()
        if not used:
            return
        now = utc_now()
        try:
            async with self._database.transaction() as db:
                since = now - _LEAST_PAUSE
                await api_keys.note_used(db, sorted(used), now, unless_since=since)
        except MLForgeError as error:
            _log.warning("key_use_not_written", detail=error.detail)

    def _push(self, rows: Sequence[ApiKey]) -> None:
        before, self._buckets = self._buckets, {}
        self._keyring.replace([self._record(row, before) for row in rows])

    def _record(self, row: ApiKey, before: Mapping[str, Bucket]) -> KeyRecord:
        expires_at = None if row.expires_at is None else row.expires_at.timestamp()
        limits = limits_of(row).over(self._defaults)
        principal = Principal(
            row.name,
            with_implied(scopes_of(row)),
            row.id,
            row.model_pattern,
            owner_of(row),
            limits,
            self._bucket(owner_of(row), limits, before),
        )
        return KeyRecord(row.id, row.sha256, principal, expires_at)

    def _bucket(
        self, owner: str, limits: KeyLimits, before: Mapping[str, Bucket]
    ) -> Bucket | None:
        """The one it has had, as long as its limits are the same."""
        bucket = bucket_of(limits.requests_per_s, limits.burst)
        if bucket is None:
            return None
        for had in (self._buckets.get(owner), before.get(owner)):
            if had is not None and had.is_like(bucket):
                bucket = had
                break
        self._buckets[owner] = bucket
        return bucket
