"""What surrounds every RPC: its id, its log line, its metrics, its last resort."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, NoReturn, TypeAlias

import structlog
from grpc import StatusCode
from grpc.aio import ServicerContext

from app.auth.actor import Arrival, acting, actor_of
from app.auth.gate import API_KEY, AUTHORIZATION, Access
from app.auth.principal import Principal
from app.errors import Internal, MLForgeError
from app.kit.ids import new_id
from app.kit.peers import rpc_host
from app.kit.redaction import without_keys
from app.observability.metrics import Metrics
from app.rpc.retry import retry_metadata
from app.rpc.status import code_of
from app.runtime.identity import Identity

logger = structlog.get_logger("app.access")

_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
# Status messages travel in a header: clients refuse headers of 8 KiB in all, and a
# character may take nine bytes there.
_MOST_DETAIL: Final = 600

UnaryWork: TypeAlias = Callable[[bytes, "Rpc"], Awaitable[bytes]]
StreamWork: TypeAlias = Callable[["Rpc"], Awaitable[None]]
# A name that ends in -bin takes bytes.
Trailer: TypeAlias = tuple[tuple[str, str | bytes], ...]
_KEYS: Final = {name.decode(): name for name in (AUTHORIZATION, API_KEY)}


class Declared(NamedTuple):
    """A method, and what it asks of its caller."""

    access: Access
    work: UnaryWork


class DeclaredStream(NamedTuple):
    access: Access
    work: StreamWork


class Rpc:
    """One RPC under way. `request_id` and `log` may be added to."""

    __slots__ = (
        "_access",
        "_identity",
        "arrival",
        "caller",
        "context",
        "log",
        "method",
        "request_id",
        "started",
        "status",
        "trailer",
    )

    caller: Principal

    def __init__(
        self,
        method: str,
        context: ServicerContext,
        identity: Identity,
        access: Access,
    ) -> None:
        self.method = method
        self._identity = identity
        self._access = access
        self.context = context
        self.request_id = _request_id(context)
        self.arrival = Arrival(
            f"rpc {method}", rpc_host(context.peer()), self.request_id
        )
        self.started = time.perf_counter()
        self.status: StatusCode = StatusCode.OK
        self.log: dict[str, object] = {}
        self.trailer: Trailer = ()

    async def admit(self) -> None:
        """Sets `caller`. Raises Unauthorized or Forbidden; in an RPC that lasts, also
        later, where the key has ended meanwhile."""
        keys = [
            (_KEYS[name], value.encode())
            for name, value in self.context.invocation_metadata() or ()
            if name in _KEYS
        ]
        self.caller = await self._identity.admit(self._access, keys, self.arrival)

    def metadata(self) -> Trailer:
        return (("x-request-id", self.request_id), *self.trailer)

    async def fail(self, error: MLForgeError, code: StatusCode) -> NoReturn:
        """Ends the RPC; its `x-error-code` is the error's stable code."""
        self.status = code
        self.trailer = (("x-error-code", error.code), *retry_metadata(code, error))
        await self.context.abort(
            code, short(without_keys(error.detail)), self.metadata()
        )
        raise AssertionError("an aborted RPC goes on")


class Calls:
    """An exception that reaches this far is a bug: the caller gets a fixed text and
    the id, the log gets the rest."""

    def __init__(
        self, metrics: Metrics, identity: Identity, *, access_log: bool
    ) -> None:
        self._metrics = metrics
        self._identity = identity
        self._access_log = access_log

    async def unary(
        self, method: str, declared: Declared, body: bytes, context: ServicerContext
    ) -> bytes:
        rpc = Rpc(method, context, self._identity, declared.access)

        async def answer() -> bytes:
            message = await declared.work(body, rpc)
            context.set_trailing_metadata(rpc.metadata())
            return message

        return await self._around(rpc, answer)

    async def stream(
        self, method: str, declared: DeclaredStream, context: ServicerContext
    ) -> None:
        rpc = Rpc(method, context, self._identity, declared.access)
        context.set_trailing_metadata(rpc.metadata())

        async def answer() -> bytes:
            await declared.work(rpc)
            return b""

        await self._around(rpc, answer)

    async def _around(self, rpc: Rpc, answer: Callable[[], Awaitable[bytes]]) -> bytes:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=rpc.request_id)
        self._metrics.inflight.inc()
        try:
            await rpc.admit()
            with acting(actor_of(rpc.caller, rpc.arrival)):
                return await answer()
        except MLForgeError as error:
            note_failure(error)
            await rpc.fail(error, code_of(error))
        except asyncio.CancelledError:
            is_late = rpc.context.time_remaining() == 0
            rpc.status = (
                StatusCode.DEADLINE_EXCEEDED if is_late else StatusCode.CANCELLED
            )
            raise
        except Exception:
            logger.exception("unexpected_error", method=rpc.method)
            bug = Internal("Something went wrong here; the log has it under this id.")
            await rpc.fail(bug, StatusCode.INTERNAL)
        finally:
            self._metrics.inflight.dec()
            self._note(rpc)

    def _note(self, rpc: Rpc) -> None:
        took_s = time.perf_counter() - rpc.started
        self._metrics.note_rpc(rpc.method, rpc.status.name, took_s)
        if not self._access_log:
            return
        logger.info(
            "rpc",
            method=rpc.method,
            code=rpc.status.name,
            took_ms=round(took_s * 1000, 2),
            request_id=rpc.request_id,
            **rpc.log,
        )


def note_failure(error: MLForgeError) -> None:
    """Logs an error that is ours, not the caller's."""
    if error.status >= 500:
        logger.error("request_failed", code=error.code, detail=error.detail)


def short(detail: str) -> str:
    return detail if len(detail) <= _MOST_DETAIL else detail[: _MOST_DETAIL - 1] + "…"


def _request_id(context: ServicerContext) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value)
    return new_id()
