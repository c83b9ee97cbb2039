"""Who may call: the keys of this process, and the first one there is."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog

from app.auth.actor import Arrival
from app.auth.buckets import Bucket, spend
from app.auth.gate import Access, Gate
from app.auth.keyring import Keyring
from app.auth.limits import KeyLimits
from app.auth.principal import Principal
from app.auth.refusals import KeyRefused, MissingKey, UnknownKey
from app.config import Settings
from app.database import Database, ReadSession
from app.enums import Scope
from app.errors import Forbidden, RateLimited
from app.kit.tasks import owned
from app.observability.metrics import Metrics
from app.services.api_keys import ApiKeys
from app.services.auth_failures import AuthFailures
from app.services.key_watch import KeyWatch
from app.services.sight import Sight
from app.services.traffic import Traffic
from app.serving.routes import Routes

_MOST_NAMED: Final = 20

_log = structlog.get_logger(__name__)


class StartRefused(Exception):
    """Says in one line what keeps the server from starting and what to do."""


class Identity:
    """Where authentication is off it does nothing, and its gate lets all through."""

    def __init__(
        self, settings: Settings, database: Database, routes: Routes, metrics: Metrics
    ) -> None:
        self._traffic: Traffic | None = None
        self._file = admin_key_file(settings)
        self.watch: KeyWatch | None = None
        defaults = default_limits(settings)
        keyring = Keyring() if settings.auth_is_on else None
        if keyring is not None:
            self.watch = KeyWatch(database, keyring, defaults)
        self.gate = Gate(
            keyring, without_key=settings.scopes_without_key, limits=defaults
        )
        self._metrics = metrics
        self._failures = AuthFailures(
            database, metrics, per_minute=settings.auth_failures_per_minute
        )
        self.keys = ApiKeys(database, self.refresh)
        self.sight = Sight(database, routes)

    async def admit(
        self,
        access: Access,
        headers: Sequence[tuple[bytes, bytes]],
        arrival: Arrival,
        address: bytes = b"",
    ) -> Principal:
        """Raises Unauthorized, Forbidden or RateLimited."""
        try:
            caller = await self._known(access, headers, arrival, address)
        except Forbidden:
            self._metrics.note_refusal("forbidden")
            raise
        except KeyRefused as error:
            self._failures.note(error, arrival)
            raise
        if caller.bucket is not None and access.scopes:
            self._spend(caller, caller.bucket)
        return caller

    async def _known(
        self,
        access: Access,
        headers: Sequence[tuple[bytes, bytes]],
        arrival: Arrival,
        address: bytes,
    ) -> Principal:
        """A key that another process has just made is waited for, until this one has
        looked."""
        try:
            return self.gate.admit(access, headers, address)
        except MissingKey:
            raise
        except UnknownKey:
            self._failures.charge(arrival)
            if self._traffic is not None:
                await self._traffic.next_look()
            return self.gate.admit(access, headers, address)
        except KeyRefused:
            self._failures.charge(arrival)
            raise

    def _spend(self, caller: Principal, bucket: Bucket) -> None:
        whose = "Callers without an API key"
        if caller.key_id is not None:
            whose = f"The API key {caller.key_id}"
        try:
            spend(bucket, whose)
        except RateLimited:
            self._metrics.note_rate_limited("requests")
            raise

    async def start(self, stack: AsyncExitStack, traffic: Traffic) -> None:
        """Makes the first key if there never was one, and keeps note of their use."""
        self._traffic = traffic
        if self.watch is None:
            return
        if await self.keys.create_first(self._keep):
            _log.warning(
                "admin_key_made",
                path=str(self._file.resolve()),
                why="there was no API key; make others with it and delete the file",
            )
        if made := await self.keys.made_by_everybody():
            _log.warning(
                "keys_of_everybody",
                keys=made[:_MOST_NAMED],
                total=len(made),
                why="they were made while authentication was off, by whoever reached "
                "the server, and are valid: revoke those that are not yours",
            )
        stack.push_async_callback(self._failures.flush)
        await owned(stack, self._failures.write())
        stack.push_async_callback(self.watch.write_used)
        await owned(stack, self.watch.note_use())

    async def load(self, db: ReadSession) -> None:
        if self.watch is not None:
            await self.watch.load(db)

    async def write_failures(self) -> None:
        """Tells the audit log of refused keys now; in time it is told by itself."""
        await self._failures.flush()

    async def refresh(self) -> None:
        """In turn with the looks at the database, which load the keys too."""
        if self.watch is not None and self._traffic is not None:
            await self._traffic.refresh_beside()

    async def _keep(self, token: str) -> None:
        try:
            await asyncio.to_thread(write_secret, self._file, token + "\n")
        except OSError as error:
            raise StartRefused(
                f"The first admin key can't be written to {self._file.resolve()} "
                f"({error.strerror}), so none was made: make the file writable, or run "
                "`mlforge keys create ops --scopes admin`, and start again."
            ) from None


def default_limits(settings: Settings) -> KeyLimits:
    return KeyLimits(
        requests_per_s=settings.key_requests_per_s,
        concurrent_jobs=settings.key_concurrent_jobs,
        models=settings.key_models,
        stored_mb=settings.key_stored_mb,
    )


def admin_key_file(settings: Settings) -> Path:
    """Where the first start puts the admin key that it makes."""
    return settings.data_dir / "admin-key"


def is_open(settings: Settings) -> bool:
    """Whether callers without a key may change models."""
    return not settings.auth_is_on or Scope.WRITE in settings.scopes_without_key


def write_secret(path: Path, text: str) -> None:
    """Durable and readable by the owner alone, in place of what was there. Where it
    can't be written, nothing is left of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
