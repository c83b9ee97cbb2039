"""From what a caller sends to who that is, and whether that is enough."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from app.auth.keyring import Keyring
from app.auth.limits import NO_LIMITS, KeyLimits
from app.auth.principal import EVERYBODY, Principal, anonymous
from app.auth.refusals import KeyRefused, MisplacedKey, MissingKey
from app.auth.tokens import PREFIX, holds_token
from app.enums import Scope
from app.errors import Forbidden

AUTHORIZATION: Final = b"authorization"
API_KEY: Final = b"x-api-key"
_PREFIX: Final = PREFIX.encode()
# Of an address; who encodes a key more often hides it on purpose.
_MOST_CODINGS: Final = 2
_BEARER: Final = b"bearer "
_HOW: Final = '"Authorization: Bearer mlf_…" or "X-API-Key: mlf_…"'

TWO_KEYS: Final = (
    "The headers hold different API keys: send one key, in Authorization or in "
    "X-API-Key."
)
NO_BEARER: Final = (
    'The Authorization header must read "Bearer mlf_…": the word is missing.'
)
IN_ADDRESS: Final = (
    "The address holds an API key, and addresses end up in logs: revoke that key, and "
    f"send the next one as {_HOW}."
)


@dataclass(frozen=True, slots=True)
class Access:
    """What a call asks of its caller: one of the scopes, or nothing where there are
    none. `whole`: it is about all models, so a key for some of them is not enough.
    `lasting`: its answer goes on for long, and ends where its key does."""

    scopes: tuple[Scope, ...] = ()
    whole: bool = False
    lasting: bool = False

    def __str__(self) -> str:
        return " or ".join(f'"{scope}"' for scope in self.scopes)


OPEN: Final = Access()


class Gate:
    """`keyring` None: authentication is off, and everybody may do everything."""

    def __init__(
        self,
        keyring: Keyring | None,
        *,
        without_key: Iterable[Scope] = (),
        limits: KeyLimits = NO_LIMITS,
    ) -> None:
        self.is_on = keyring is not None
        self._keyring = keyring
        self._anonymous = anonymous(without_key, limits)

    def admit(
        self,
        access: Access,
        headers: Iterable[tuple[bytes, bytes]],
        address: bytes = b"",
    ) -> Principal:
        """`address`: the path and query, as they came. Raises KeyRefused or Forbidden."""
        if self._keyring is None:
            return EVERYBODY
        if not access.scopes:
            return self._anonymous
        if _holds_key(address):
            raise MisplacedKey(IN_ADDRESS)
        token = _presented(headers)
        if token is None:
            return self._checked_anonymous(access)
        principal = self._keyring.find(token)
        if principal.scopes.isdisjoint(access.scopes):
            raise Forbidden(
                f'The API key {principal.key_id} ("{principal.name}") lacks the scope '
                f"{access}, which this call needs; {_held(principal)}."
            )
        if access.whole:
            check_whole(principal)
        return principal

    def at_once(
        self, authorization: bytes | None, api_key: bytes | None
    ) -> Principal | None:
        """Who sends these headers; None where `admit` has to say what is wrong."""
        if self._keyring is None:
            return EVERYBODY
        if authorization is None:
            token = api_key
        elif api_key is None and (
            authorization[:7] == b"Bearer " or authorization[:7].lower() == _BEARER
        ):
            token = authorization[7:]
        else:
            return None
        if token is None:
            return self._anonymous
        try:
            return self._keyring.find(token)
        except KeyRefused:
            return None

    def _checked_anonymous(self, access: Access) -> Principal:
        caller = self._anonymous
        if not caller.scopes.isdisjoint(access.scopes):
            return caller
        raise MissingKey(
            f"No API key was sent and this call needs one with the scope {access}: "
            f"send it as {_HOW}."
        )


def check_whole(principal: Principal) -> None:
    """Raises Forbidden where the key is for some models only."""
    if principal.pattern is not None:
        raise Forbidden(
            f"This is about all models, and the API key {principal.key_id} is only for "
            f'those named like "{principal.pattern}"; use a key without a pattern.'
        )


def check_operator(principal: Principal, what: str) -> None:
    """Raises Forbidden where `what` is not for everybody who may predict: it takes a
    key of the scope write, for all models."""
    if principal is EVERYBODY:
        return
    has_key = principal.key_id is not None and principal.pattern is None
    if not has_key or Scope.WRITE not in principal.scopes:
        raise Forbidden(
            f'{what}: that takes an API key with the scope "{Scope.WRITE}" besides, and '
            "without a model pattern; ask for one, or send the rows as `file`."
        )


def _holds_key(address: bytes) -> bool:
    """As it stands, or percent-encoded, once or twice."""
    for _ in range(_MOST_CODINGS):
        if _PREFIX in address and holds_token(address):
            return True
        if b"%" not in address:
            return False
        address = unquote_to_bytes(address)
    return _PREFIX in address and holds_token(address)


def _held(principal: Principal) -> str:
    words = ", ".join(sorted(principal.scopes))
    return f"it has {words}" if words else "it has none"


def _presented(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key in the headers, an empty one too: that is wrong, not missing. An Authorization of another kind, which may be for a
    proxy, holds none."""
    found: set[bytes] = set()
    for name, value in headers:
        if name == API_KEY:
            found.add(value.strip())
        elif name == AUTHORIZATION:
            words = value.strip()
            scheme, _, key = words.partition(b" ")
            if scheme.lower() == _BEARER.strip():
                found.add(key.strip())
            elif words.startswith(_PREFIX):
                raise MisplacedKey(NO_BEARER)
    if len(found) > 1:
        raise MisplacedKey(TWO_KEYS)
    return found.pop() if found else None
