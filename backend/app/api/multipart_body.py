"""The body of an upload: of a type we take, not too large, and not too slow."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from app.errors import (
    InvalidRequest,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

# A client must send this much in each idle timeout, or a byte now and then would
# hold a connection and a staging folder for ever.
_PROGRESS_BYTES = 4 << 10


def boundary_of(request: Request) -> bytes:
    """What separates the parts; raises on another type or encoding of the body."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        found = kind.decode("latin-1")[:200] or "no Content-Type"
        raise UnsupportedMediaType(
            f"The upload came as {found}; wanted is multipart/form-data with the file "
            "as field `file`, as curl -F file=@model.onnx sends it."
        )
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMediaType(
            f"The upload came with Content-Encoding {encoding[:200]}; wanted is "
            "multipart/form-data without compression."
        )
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequest(
            "The Content-Type multipart/form-data has no boundary: let the HTTP library "
            "set this header itself."
        )
    return boundary


async def bounded_body(
    request: Request, limit_bytes: int, *, idle_timeout_s: float, advice: str
) -> AsyncGenerator[bytes, None]:
    """The chunks as they come; the declared length is checked before the first.
    `advice` says what to do about a body that is too large.

    Raises PayloadTooLarge, RequestTimeout, and ClientDisconnect if the caller goes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        _check_size(int(declared), limit_bytes, advice)
    received = 0
    async with aclosing(_prompt_chunks(request, idle_timeout_s)) as chunks:
        async for chunk in chunks:
            received += len(chunk)
            _check_size(received, limit_bytes, advice)
            yield chunk


async def _prompt_chunks(
    request: Request, idle_timeout_s: float
) -> AsyncGenerator[bytes, None]:
    """Counts only the time spent waiting for the client, not our own work."""
    clock = asyncio.get_running_loop().time
    patience_s, progress = idle_timeout_s, 0
    async with aclosing(request.stream()) as stream:
        while True:
            began = clock()
            chunk = await _next_chunk(stream, patience_s, idle_timeout_s)
            if chunk is None:
                return
            patience_s -= clock() - began
            progress += len(chunk)
            if progress >= _PROGRESS_BYTES:
                patience_s, progress = idle_timeout_s, 0
            yield chunk


async def _next_chunk(
    stream: AsyncGenerator[bytes, None], patience_s: float, idle_timeout_s: float
) -> bytes | None:
    try:
        async with asyncio.timeout(patience_s):
            return await anext(stream, None)
    except TimeoutError:
        raise RequestTimeout(
            f"The upload stood still for {idle_timeout_s:g} s and was dropped: send it "
            "again without a pause.",
            headers={"Connection": "close"},
        ) from None


def _check_size(size_bytes: int, limit_bytes: int, advice: str) -> None:
    if size_bytes > limit_bytes:
        raise PayloadTooLarge(
            f"The upload has {size_bytes / 2**20:.4g} MiB or more; the limit is "
            f"{limit_bytes / 2**20:.4g} MiB: {advice}."
        )
