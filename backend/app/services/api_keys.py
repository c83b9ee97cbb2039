"""The use cases of API keys: make, list, rotate, revoke."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import structlog

from app.auth.limits import LIMIT_NAMES, NO_LIMITS, KeyLimits
from app.auth.principal import EVERYBODY, PATTERN_RULE, is_pattern
from app.auth.tokens import new_token
from app.crud import api_keys, audit_log, registry_clock
from app.database import Database, ReadSession, Session, after_commit
from app.enums import Action, Scope
from app.errors import InvalidField, KeyNotFound, MLForgeError, StateForbids
from app.models.api_key import ApiKey
from app.models.base import utc_now
from app.services.audit import note

MOST_DAYS: Final = 3650
MOST_OVERLAP_HOURS: Final = 24 * 90
DEFAULT_OVERLAP_HOURS: Final = 24.0
_LONGEST_NAME: Final = 100
_SHOWN: Final = 40

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make; `lifetime` None lets it live until it is revoked."""

    name: str
    scopes: frozenset[Scope]
    model_pattern: str | None = None
    lifetime: timedelta | None = None
    limits: KeyLimits = NO_LIMITS
    owner: str | None = None

    def check(self) -> None:
        """Raises InvalidField where a field breaks its rule."""
        self.limits.check()
        if not 0 < len(self.name.strip()) <= _LONGEST_NAME or not (
            self.name.isprintable()
        ):
            raise InvalidField(
                f"name: give 1 to {_LONGEST_NAME} printable characters that say who "
                "holds the key."
            )
        if not self.scopes:
            raise InvalidField(f"scopes: give at least one of {', '.join(Scope)}.")
        pattern = self.model_pattern
        if pattern is None:
            return
        if not is_pattern(pattern):
            raise InvalidField(
                f"model_pattern: {pattern[:_SHOWN]!a} is not allowed: use "
                f"{PATTERN_RULE}."
            )
        if Scope.ADMIN in self.scopes:
            raise InvalidField(
                "model_pattern: an admin key can make keys for every model, so it "
                "can't be one for some of them: leave out the pattern or the scope."
            )


@dataclass(frozen=True, slots=True)
class MadeKey:
    """`token` is told this once: nobody can find it again."""

    row: ApiKey
    token: str


@dataclass(frozen=True, slots=True)
class KeyPage:
    items: Sequence[ApiKey]
    total: int


class ApiKeys:
    """`refresh` is called after every change, for this process to go by it; others see
    it by the registry's clock."""

    def __init__(
        self, database: Database, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        self._database = database
        self._refresh = refresh

    async def create(self, new: NewKey) -> MadeKey:
        new.check()
        async with self._changing() as db:
            made = await add(db, new)
            note_made(db, made.row)
            return made

    async def create_first(self, keep: Callable[[str], Awaitable[None]]) -> bool:
        """Makes an admin key where there never was a key, and has its token kept
        before anybody can miss it; says whether it did."""
        async with self._database.reading() as db:
            if await api_keys.count_keys(db):
                return False
        # The clock holds back whoever starts at the same time.
        async with self._changing() as db:
            if await api_keys.count_keys(db):
                return False
            made = await add(db, NewKey("first start", frozenset({Scope.ADMIN})))
            note_made(db, made.row)
            await keep(made.token)
        return True

    async def list_keys(self, *, page: int, page_size: int) -> KeyPage:
        """Newest first, revoked ones too."""
        async with self._database.reading() as db:
            items, total = await api_keys.page_of_keys(
                db, page=page, page_size=page_size
            )
        return KeyPage(items, total)

    async def get(self, key_id: str) -> ApiKey:
        async with self._database.reading() as db:
            return await _get(db, key_id)

    async def made_by_everybody(self) -> list[str]:
        """Ids of the active keys that were made or rotated while authentication was
        off, by whoever it was."""
        now = utc_now()
        async with self._database.reading() as db:
            made = await audit_log.keys_made_by(db, EVERYBODY.name)
            rows = await api_keys.standing_keys(db)
        active = (row.id for row in rows if status_of(row, now) == "active")
        return sorted(made.intersection(active))

    async def rotate(self, key_id: str, *, overlap: timedelta) -> MadeKey:
        """A new key with the same rights; the old one ends after `overlap`."""
        now = utc_now()
        async with self._changing() as db:
            old = await _get(db, key_id)
            _check_rotates(old, now)
            lives = None if old.expires_at is None else old.expires_at - old.created_at
            new = NewKey(
                old.name,
                scopes_of(old),
                old.model_pattern,
                lives,
                limits_of(old),
                owner_of(old),
            )
            made = await add(db, new)
            ends = now + overlap
            old.expires_at = min(old.expires_at or ends, ends)
            old.successor = made.row.id
            hours = overlap / timedelta(hours=1)
            note(db, Action.KEY_ROTATE, key_id, to=made.row.id, overlap_hours=hours)
            return made

    async def set_limits(self, key_id: str, limits: Mapping[str, Any]) -> ApiKey:
        """Sets these limits by their names and leaves the others; None: the default.
        Raises StateForbids for a key that is not valid any more."""
        async with self._changing() as db:
            row = await _get(db, key_id)
            replace(limits_of(row), **limits).check()
            if (status := status_of(row, utc_now())) != "active":
                raise StateForbids(f"{row.id} is {status}: its limits say nothing.")
            for name, value in limits.items():
                setattr(row, name, value)
            note(db, Action.KEY_PATCH, key_id, limits=dict(limits))
            return row

    async def revoke(self, key_id: str, *, force: bool = False) -> None:
        """Again, it does nothing. Raises StateForbids for the last valid admin key."""
        now = utc_now()
        async with self._changing() as db:
            row = await _get(db, key_id)
            if row.revoked_at is not None:
                return
            if not force and await _is_last_admin(db, row, now):
                raise StateForbids(
                    f"{row.id} is the last valid admin key, or all others end before "
                    "it: without one, keys can only be made with `mlforge keys` beside "
                    "the database. Make another first that lives as long, or revoke "
                    "it with force."
                )
            row.revoked_at = now
            note(db, Action.KEY_REVOKE, key_id, force=force or None)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Session]:
        """One after the other over all processes, which see it by their next look."""
        async with self._database.transaction() as db:
            await registry_clock.tick(db)
            after_commit(db, self._go_by_it)
            yield db

    async def _go_by_it(self) -> None:
        """The change is made whatever happens here: an error in place of the answer
        would lose the one sight of a new key. The next look at the clock makes up."""
        try:
            await self._refresh()
        except MLForgeError as error:
            _log.warning("keys_not_refreshed", detail=error.detail)


async def add(db: Session, new: NewKey) -> MadeKey:
    made = new_token()
    row = ApiKey(
        id=made.id,
        name=new.name.strip(),
        sha256=made.digest,
        scopes=sorted(new.scopes),
        model_pattern=new.model_pattern,
        created_at=utc_now(),
        owner=new.owner,
        **asdict(new.limits),
    )
    if new.lifetime is not None:
        row.expires_at = row.created_at + new.lifetime
    return MadeKey(await api_keys.add_key(db, row), made.token)


def note_made(db: Session, row: ApiKey) -> None:
    note(
        db,
        Action.KEY_CREATE,
        row.id,
        name=row.name,
        scopes=row.scopes,
        model_pattern=row.model_pattern,
        expires_at=row.expires_at,
        limits=_set_ones(limits_of(row)) or None,
    )


def _set_ones(limits: KeyLimits) -> dict[str, float]:
    return {name: one for name, one in asdict(limits).items() if one is not None}


def limits_of(row: ApiKey) -> KeyLimits:
    """Those of its own."""
    return KeyLimits(**{name: getattr(row, name) for name in LIMIT_NAMES})


def owner_of(row: ApiKey) -> str:
    return row.owner or row.id


def scopes_of(row: ApiKey) -> frozenset[Scope]:
    return frozenset(map(Scope, row.scopes))


def status_of(row: ApiKey, now: datetime) -> Literal["active", "expired", "revoked"]:
    """active, expired or revoked."""
    if row.revoked_at is not None:
        return "revoked"
    is_over = row.expires_at is not None and row.expires_at <= now
    return "expired" if is_over else "active"


async def _get(db: ReadSession, key_id: str) -> ApiKey:
    row = await api_keys.find_key(db, key_id)
    if row is None:
        raise KeyNotFound(
            f"no API key has the id {key_id[:_SHOWN]!a}; GET /api/v1/keys lists "
            "what there is"
        )
    return row


def _check_rotates(row: ApiKey, now: datetime) -> None:
    status = status_of(row, now)
    if status != "active":
        raise StateForbids(f"{row.id} is {status}: make a new key instead.")
    if row.successor is not None:
        raise StateForbids(
            f"{row.id} was rotated already: rotate its successor {row.successor}."
        )


async def _is_last_admin(db: ReadSession, row: ApiKey, now: datetime) -> bool:
    """Whether, without it, the last admin key would end earlier than with it."""
    if not _is_admin(row, now):
        return False
    others = [key for key in await api_keys.standing_keys(db) if key.id != row.id]
    return not any(_is_admin(key, now) and _outlives(key, row) for key in others)


def _is_admin(key: ApiKey, now: datetime) -> bool:
    return Scope.ADMIN in key.scopes and status_of(key, now) == "active"


def _outlives(key: ApiKey, other: ApiKey) -> bool:
    if key.expires_at is None:
        return True
    return other.expires_at is not None and other.expires_at <= key.expires_at
