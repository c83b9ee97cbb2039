"""Bodies are refused as soon as they are known to be too large."""

import re

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import rendered
from app.errors import PayloadTooLarge

MIB = 1024 * 1024
# Calls that count their own bodies, by limits of their own.
SELF_COUNTING = re.compile(
    r"/api/v1/(models/upload|models/[^/]+/(upload|predict)|score|score/batch|jobs)$"
    r"|/v2/models/[^/]+/(versions/[^/]+/)?infer$"
)
# Calls that carry a whole model.
LARGE = re.compile(r"/v2/repository/models/[^/]+/load$")


class BodyLimit:
    """Bounds the bodies of all calls that do not count them themselves.

    A model that comes with a load may be as large as the inputs of a prediction.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: int, large_bytes: int) -> None:
        self.app = app
        self.limit_bytes = limit_bytes
        self.large_bytes = large_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _counts_itself(scope):
            await self.app(scope, receive, send)
            return
        is_large = LARGE.search(scope["path"]) is not None
        limit_bytes = self.large_bytes if is_large else self.limit_bytes
        if _declared(scope) > limit_bytes:
            answer = rendered(_too_large(limit_bytes), scope)
            await answer(scope, receive, send)
            return
        await self.app(scope, _counted(receive, limit_bytes), send)


def _counts_itself(scope: Scope) -> bool:
    return scope["method"] == "POST" and bool(SELF_COUNTING.search(scope["path"]))


def _counted(receive: Receive, limit_bytes: int) -> Receive:
    size = 0

    async def receive_counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        return message

    return receive_counted


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """Raises PayloadTooLarge naming the limit, ClientDisconnect if the caller goes."""
    if _declared(scope) > limit_bytes:
        raise _too_large(limit_bytes)
    message = await receive()
    body = _body_of(message)
    if not message.get("more_body"):
        return _within(body, len(body), limit_bytes)
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        body = _body_of(message)
        size += len(body)
        parts.append(_within(body, size, limit_bytes))
    return b"".join(parts)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _body_of(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    body: bytes = message.get("body", b"")
    return body


def _within(body: bytes, size: int, limit_bytes: int) -> bytes:
    if size > limit_bytes:
        raise _too_large(limit_bytes)
    return body


def _too_large(limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body is larger than {limit_bytes // MIB} MiB, the limit of this call."
    )
