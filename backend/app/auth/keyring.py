"""The keys that are known now, in memory: no call waits for the database to be told
who it is from, and an outage of the database locks nobody out."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from app.auth.principal import Principal
from app.auth.refusals import ExpiredKey, MalformedKey, UnknownKey
from app.auth.tokens import TOKEN_LENGTH, digest_of, id_of

# Tokens that were found valid, so that they need not be hashed again.
_MOST_KNOWN: Final = 4096
_NOBODY: Final = "0" * 64

MALFORMED: Final = (
    f"The API key is mistyped or cut: one begins with mlf_, has {TOKEN_LENGTH} "
    "characters and a checksum at its end; copy it whole."
)
UNKNOWN: Final = "The API key is unknown or was revoked; ask for a new one."
EXPIRED: Final = "The API key has expired; ask for a new one."


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key that was not revoked. `expires_at` is seconds since the epoch."""

    id: str
    digest: str
    principal: Principal
    expires_at: float | None


class _Held:
    __slots__ = ("expires_at", "id", "principal")

    def __init__(self, record: KeyRecord) -> None:
        self.id = record.id
        self.principal = record.principal
        self.expires_at = record.expires_at


class Keyring:
    """Belongs to one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._records: dict[str, KeyRecord] = {}
        # By the token as it was sent. A dictionary tells by its time no more than
        # whether two 64-bit hashes of a secret kind are equal.
        self._known: dict[bytes, _Held] = {}
        self._used: set[str] = set()

    def replace(self, records: Iterable[KeyRecord]) -> None:
        """From now on these keys are valid and no others."""
        self._records = {record.id: record for record in records}
        self._known = {}

    def find(self, token: bytes) -> Principal:
        """Whose key it is. Raises KeyRefused, which says what is wrong."""
        held = self._known.get(token) or self._look(token)
        if held.expires_at is not None and held.expires_at <= self._clock():
            raise ExpiredKey(EXPIRED, key_id=held.id)
        self._used.add(held.id)
        return held.principal

    def take_used(self) -> set[str]:
        """The ids of the keys that were used since the last call of this."""
        used, self._used = self._used, set()
        return used

    def _look(self, token: bytes) -> _Held:
        key_id = id_of(token)
        if key_id is None:
            raise MalformedKey(MALFORMED)
        record = self._records.get(key_id)
        # An unknown id takes as long as a wrong secret.
        expected = _NOBODY if record is None else record.digest
        if not compare_digest(digest_of(token), expected) or record is None:
            raise UnknownKey(UNKNOWN, key_id=key_id)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        held = self._known[token] = _Held(record)
        return held
