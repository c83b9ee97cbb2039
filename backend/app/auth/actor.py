"""Who changes something now, and by which call: what the audit log tells of a change."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from app.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Actor:
    """`name`: the id of an API key, or who acts without one. `via`: the route, RPC or
    command. `peer`: the address of the caller."""

    name: str
    via: str | None = None
    peer: str | None = None
    request_id: str | None = None


# What the program does of its own.
SERVER: Final = Actor("server")
JANITOR: Final = Actor("janitor")

_CURRENT: ContextVar[Actor] = ContextVar("mlforge_actor", default=SERVER)


def current_actor() -> Actor:
    return _CURRENT.get()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """What happens inside, in this task and in those it starts, `actor` does."""
    before = _CURRENT.set(actor)
    try:
        yield
    finally:
        _CURRENT.reset(before)


def actor_of(
    caller: Principal, *, via: str, peer: str | None, request_id: str
) -> Actor:
    return Actor(caller.key_id or caller.name, via, peer, request_id)
