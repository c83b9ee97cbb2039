"""Who changes something now, and by which call: what the audit log tells of a change,
and what the quotas hold it to."""

from contextvars import ContextVar, Token
from typing import Final, NamedTuple

from app.auth.limits import NO_LIMITS, KeyLimits
from app.auth.principal import Principal


class Arrival(NamedTuple):
    """How a call came. `via`: the route, RPC or command. `peer`: the address of the
    caller."""

    via: str | None = None
    peer: str | None = None
    request_id: str | None = None


NOWHERE: Final = Arrival()


class Actor(NamedTuple):
    """`name`: the id of an API key, or who acts without one. `owner`: whose the things
    are that it makes; None where nobody counts them."""

    name: str
    arrival: Arrival = NOWHERE
    owner: str | None = None
    limits: KeyLimits = NO_LIMITS


# What the program does of its own.
SERVER: Final = Actor("server")
JANITOR: Final = Actor("janitor")

_CURRENT: ContextVar[Actor] = ContextVar("mlforge_actor", default=SERVER)


def current_actor() -> Actor:
    return _CURRENT.get()


class acting:  # noqa: N801 - reads as what is done inside
    """What happens inside, in this task and in those it starts, `actor` does."""

    # A generator would cost more than the rest of it, and every call passes here.
    __slots__ = ("_actor", "_before")

    _before: Token[Actor]

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def __enter__(self) -> None:
        self._before = _CURRENT.set(self._actor)

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._before)


def actor_of(caller: Principal, arrival: Arrival) -> Actor:
    name = caller.key_id or caller.name
    return Actor(name, arrival, caller.owner, caller.limits)
