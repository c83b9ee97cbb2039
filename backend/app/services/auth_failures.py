"""Callers whose keys are refused: counted, slowed down, and told to the audit log at a
rate that no attacker chooses."""

import asyncio
import math
from dataclasses import dataclass
from typing import Final

import structlog

from app.auth.actor import Actor, Arrival
from app.auth.buckets import Bucket, SiteBuckets
from app.auth.principal import ANONYMOUS
from app.auth.refusals import KeyRefused, MissingKey
from app.database import Database, Session
from app.enums import Action
from app.errors import MLForgeError, RateLimited
from app.kit.peers import site_of
from app.observability.metrics import Metrics
from app.services.audit import note

TOO_MANY: Final = (
    "Too many wrong API keys came from this address: wait, then send the right one."
)
_MINUTE_S: Final = 60.0
# Entries of the audit log: so many at once, and one a minute for long.
_WRITTEN_AT_ONCE: Final = 20
_NO_ID: Final = "key"

_log = structlog.get_logger(__name__)


class TooManyWrongKeys(RateLimited):
    """Told alike whatever was wrong with the key."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    key_id: str | None
    arrival: Arrival
    left_out: int


class AuthFailures:
    """`per_minute` wrong keys from an address, then they are refused unread; 0: any
    number. A right key is never refused for the wrong ones of others."""

    def __init__(
        self, database: Database, metrics: Metrics, *, per_minute: int
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._sites = (
            SiteBuckets(per_minute / _MINUTE_S, per_minute) if per_minute else None
        )
        self._written = Bucket(1 / _MINUTE_S, _WRITTEN_AT_ONCE)
        self._left_out = 0
        self._waiting: list[_Refusal] = []
        self._came = asyncio.Event()

    def charge(self, arrival: Arrival) -> None:
        """Before a wrong key is looked at more closely. Raises TooManyWrongKeys."""
        if self._sites is None:
            return
        bucket = self._sites.of(site_of(arrival.peer))
        wait_s = bucket.wait_s()
        if wait_s > 0:
            self._metrics.note_refusal("too_many")
            self._left_out += 1
            raise TooManyWrongKeys(TOO_MANY, retry_after_s=math.ceil(wait_s))
        bucket.take()

    def note(self, error: KeyRefused, arrival: Arrival) -> None:
        """Counts it. A key that is wrong is also told, one that is missing is not."""
        self._metrics.note_refusal(error.reason)
        if isinstance(error, MissingKey):
            return
        if self._written.wait_s() > 0:
            self._left_out += 1
            return
        self._written.take()
        refusal = _Refusal(error.reason, error.key_id, arrival, self._left_out)
        self._left_out = 0
        self._waiting.append(refusal)
        self._came.set()

    async def write(self) -> None:
        """For ever, while no call waits for it."""
        while True:
            await self._came.wait()
            self._came.clear()
            await self.flush()

    async def flush(self) -> None:
        """What can't be written is not worth an error."""
        if not self._waiting:
            return
        refusals, self._waiting = self._waiting, []
        try:
            async with self._database.transaction() as db:
                for refusal in refusals:
                    _tell(db, refusal)
        except MLForgeError as error:
            _log.warning("auth_failures_not_written", detail=error.detail)


def _tell(db: Session, refusal: _Refusal) -> None:
    note(
        db,
        Action.AUTH_FAILED,
        refusal.key_id or _NO_ID,
        result=refusal.reason,
        actor=Actor(ANONYMOUS, refusal.arrival),
        left_out=refusal.left_out or None,
    )
