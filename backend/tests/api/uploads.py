"""Multipart bodies by hand, and requests that bring them in any rhythm."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Message, Receive

BOUNDARY = "b0undary"


@dataclass(frozen=True, slots=True)
class PartSpec:
    """A part as a client sends it; a plain field when `filename` is None."""

    field: str
    content: bytes
    filename: str | None = None


def encode(*parts: PartSpec, boundary: str = BOUNDARY) -> bytes:
    return b"".join(_encode(part, boundary) for part in parts) + (
        f"--{boundary}--\r\n".encode()
    )


def _encode(part: PartSpec, boundary: str) -> bytes:
    named = f'; filename="{part.filename}"' if part.filename is not None else ""
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{part.field}"{named}\r\n\r\n'
    )
    return head.encode() + part.content + b"\r\n"


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def request_of(
    chunks: Sequence[bytes],
    *,
    content_type: str | None = f"multipart/form-data; boundary={BOUNDARY}",
    headers: Sequence[tuple[str, str]] = (),
    receive: Receive | None = None,
) -> Request:
    """Chunked, unless `headers` declare a length."""
    pairs = list(headers)
    if content_type is not None:
        pairs.append(("content-type", content_type))
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "server": ("mlforge.test", 80),
        "path": "/api/v1/models/upload",
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
    }
    return Request(scope, receive or receive_of(chunks))


def receive_of(
    chunks: Sequence[bytes], *, ending: Message | None = None, stall: bool = False
) -> Receive:
    """Gives the chunks, then the end, `ending` instead of it, or nothing ever."""
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    messages.append(ending or {"type": "http.request", "body": b"", "more_body": False})
    if stall:
        messages.pop()
    waiting = iter(messages)

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError
        return message

    return receive
