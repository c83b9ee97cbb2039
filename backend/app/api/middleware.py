"""What surrounds every request: its id, its log line, its metrics, its last resort."""

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import rendered
from app.errors import Internal, MLForgeError, ShuttingDown
from app.kit.ids import new_id
from app.observability.metrics import Metrics

logger = structlog.get_logger("app.access")

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestLog:
    """Counts each answered request, and writes its line where that is wanted."""

    def __init__(self, metrics: Metrics, *, access_log: bool) -> None:
        self.metrics = metrics
        self._access_log = access_log

    def note(self, request: "Answered") -> None:
        self.metrics.note_request(
            request.route, request.method, request.status, request.took_s
        )
        if not self._access_log:
            return
        logger.info(
            "request",
            method=request.method,
            path=request.path,
            status=request.status,
            took_ms=round(request.took_s * 1000, 2),
            request_id=request.request_id,
            **request.more,
        )


class Answered(NamedTuple):
    """`route` is the template of the path; `more` are further fields of the line."""

    route: str
    method: str
    path: str
    status: int
    took_s: float
    request_id: str
    more: Mapping[str, str]


class RequestScope:
    """Gives each request an id, answers with it, and writes one line at the end.

    An exception that reaches this far is a bug: the caller gets a fixed text and
    the id, the log gets the rest.
    """

    def __init__(self, app: ASGIApp, requests: RequestLog) -> None:
        self.app = app
        self.requests = requests
        self.inflight = requests.metrics.inflight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = request_id_of(scope["headers"]) or new_id()
        exchange = Exchange(state, send)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=state["request_id"])
        self.inflight.inc()
        try:
            await self.app(scope, receive, exchange.send)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:
            # The server ends and has given its requests the time it gives them.
            await exchange.give_up(
                scope, ShuttingDown("The server is stopping; ask another or retry.")
            )
            raise
        except Exception:
            logger.exception("unexpected_error", path=scope["path"])
            await exchange.give_up(
                scope,
                Internal("Something went wrong here; the log has it under this id."),
            )
        finally:
            self.inflight.dec()
            self._note(scope, exchange)

    def _note(self, scope: Scope, exchange: "Exchange") -> None:
        took_s = time.perf_counter() - exchange.started
        route = getattr(scope.get("route"), "path", "unmatched")
        answered = Answered(
            route,
            scope["method"],
            scope["path"],
            exchange.status,
            took_s,
            exchange.state["request_id"],
            exchange.state.get("log", {}),
        )
        self.requests.note(answered)


class Exchange:
    """One request's answer as it goes out: its status, and the id header."""

    __slots__ = ("_begun", "_send", "started", "state", "status")

    def __init__(self, state: MutableMapping[str, Any], send: Send) -> None:
        self.state = state
        self.started = time.perf_counter()
        self.status = 499  # Nothing was answered: the caller had gone.
        self._send = send
        self._begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self.status = message["status"]
            request_id = str(self.state["request_id"]).encode("ascii")
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", request_id),
            ]
        await self._send(message)

    async def give_up(self, scope: Scope, error: MLForgeError) -> None:
        """Answers with `error`, unless an answer has begun."""
        if self._begun:
            return
        answer = rendered(error, scope)
        headers = list(answer.raw_headers)
        await self.send(
            {"type": "http.response.start", "status": error.status, "headers": headers}
        )
        await self.send({"type": "http.response.body", "body": answer.body})


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What the caller calls the request, where that can be sent back."""
    for name, value in headers:
        if name == b"x-request-id" and (found := usable_id(value)):
            return found
    return None


def usable_id(value: bytes) -> str | None:
    return str(value, "ascii") if _REQUEST_ID.fullmatch(value) else None
