"""Which scope each call needs, said beside the call, and the guard that keeps to it.

Deny by default: a route that says nothing does not start.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from app.auth.actor import Arrival, acting, actor_of
from app.auth.gate import OPEN, Access
from app.auth.principal import Principal
from app.enums import Scope as KeyScope
from app.errors import MLForgeError
from app.services.job_lookup import job_not_found

if TYPE_CHECKING:
    from app.runtime import Runtime

_EVENTS: Final = b"text/event-stream"
_DECLARED: Final = "mlforge_access"
# They tell what this program is, which everybody may know, and nothing of its models.
_PAGES: Final = frozenset({"/openapi.json", "/docs", "/redoc", "/docs-assets"})

F = TypeVar("F", bound=Callable[..., Any])


class UndeclaredRoute(Exception):
    """A route that does not say who may call it."""


def needs(
    *scopes: KeyScope, whole: bool = False, lasting: bool = False
) -> Callable[[F], F]:
    """The call needs one of `scopes`. `whole`: and a key for all models. `lasting`: its
    answer goes on for long, and ends where its key does."""
    return _declaring(Access(scopes, whole=whole, lasting=lasting))


def open_to_all(endpoint: F) -> F:
    """The call needs no key."""
    return _declaring(OPEN)(endpoint)


def _declaring(access: Access) -> Callable[[F], F]:
    def declare(endpoint: F) -> F:
        endpoint.__dict__[_DECLARED] = access
        return endpoint

    return declare


class DeclaredRoute(APIRoute):
    """A route that nobody gets through who may not; all of ours are of this class."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        declared = getattr(endpoint, _DECLARED, None)
        if declared is None:
            raise _undeclared(path, endpoint.__name__)
        self.access: Access = declared

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Before anything of the body is read. A wrong method needs no key."""
        if self.methods and scope["method"] in self.methods:
            arrival = Arrival(
                f"{scope['method']} {self.path}",
                _peer_of(scope),
                scope["state"]["request_id"],
            )
            caller = await _admit(scope, self.access, arrival)
            with acting(actor_of(caller, arrival)):
                await self._handle_admitted(scope, receive, send)
        else:
            await super().handle(scope, receive, send)

    async def _handle_admitted(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not self.access.lasting:
            await super().handle(scope, receive, send)
            return
        lasting = _Lasting(scope, self.access, send)
        await super().handle(scope, receive, lasting.send)
        if lasting.refusal is not None:
            raise lasting.refusal


def check_declared(app: FastAPI) -> None:
    """Raises UndeclaredRoute for a route of a kind that nobody guards."""
    for route in _leaves(app.router.routes):
        path = getattr(route, "path", type(route).__name__)
        if not isinstance(route, DeclaredRoute) and path not in _PAGES:
            raise _undeclared(path, getattr(route, "name", ""))


def declared_routes(app: FastAPI) -> Iterator[DeclaredRoute]:
    for route in _leaves(app.router.routes):
        if isinstance(route, DeclaredRoute):
            yield route


def _leaves(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _leaves(inner.routes)


def _undeclared(path: str, name: str) -> UndeclaredRoute:
    return UndeclaredRoute(
        f"{path} ({name}) does not say who may call it: put @needs(…) or @open_to_all "
        "under its @router line, and give its router route_class=DeclaredRoute."
    )


def _peer_of(scope: Scope) -> str | None:
    """The caller's address, by itself or by a proxy that is trusted."""
    client = scope.get("client")
    return None if client is None else client[0]


async def _admit(scope: Scope, access: Access, arrival: Arrival) -> Principal:
    runtime: Runtime = scope["app"].state.runtime
    path = scope.get("raw_path") or scope["path"].encode()
    address = b"?".join([path, scope["query_string"]])
    caller = await runtime.identity.admit(access, scope["headers"], arrival, address)
    scope["state"]["caller"] = caller
    if caller.pattern is not None:
        await _check_named(scope, runtime, caller)
    return caller


class _Lasting:
    """Holds back an answer that begins after its caller's key has ended, and ends
    events there; a file under way is not cut, as that would pass for the whole."""

    def __init__(self, scope: Scope, access: Access, send: Send) -> None:
        self.refusal: MLForgeError | None = None
        self._scope = scope
        self._access = access
        self._send = send
        self._is_events = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.refusal = self._refusal()
            headers = message["headers"]
            self._is_events = any(value.startswith(_EVENTS) for _, value in headers)
        elif self._is_events and self._refusal() is not None:
            await self._send({"type": "http.response.body", "body": b""})
            raise ClientDisconnect
        if self.refusal is None:
            await self._send(message)

    def _refusal(self) -> MLForgeError | None:
        runtime: Runtime = self._scope["app"].state.runtime
        try:
            runtime.identity.gate.admit(self._access, self._scope["headers"])
        except MLForgeError as error:
            return error
        return None


async def _check_named(scope: Scope, runtime: "Runtime", caller: Principal) -> None:
    """The models and jobs that a path names are there for this caller, or a 404."""
    named = scope["path_params"]
    if "job_id" in named:
        job = await runtime.jobs.get(named["job_id"])
        if not caller.sees(job.model_name):
            raise job_not_found(named["job_id"])
    elif ref := named.get("ref") or named.get("name"):
        await runtime.identity.sight.check_ref(caller, ref)
