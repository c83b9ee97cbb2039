"""Bodies in gzip and deflate: read within a limit, written where asked for."""

import asyncio
import gzip
import zlib
from typing import Final

from app.api.body import MIB
from app.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

# What zlib calls the two forms: gzip's own head, or zlib's.
_WINDOWS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_FAST: Final = 1


async def inflate(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """Raises PayloadTooLarge before more than the limit is there."""
    if coding not in _WINDOWS:
        raise UnsupportedMediaType(
            f"Content-Encoding {coding[:100]} is not taken here; send gzip, deflate or "
            "the body as it is."
        )
    return await asyncio.to_thread(_inflate, body, coding, limit_bytes)


async def deflate(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return await asyncio.to_thread(gzip.compress, body, _FAST, mtime=0)
    return await asyncio.to_thread(zlib.compress, body, _FAST)


def only_coding(accepted: str) -> str | None:
    """gzip or deflate where that is all that is named.

    Clients name a list without being asked to, and compressing costs more than most
    answers: who wants it says so and nothing else.
    """
    coding = accepted.strip().lower()
    return coding if coding in _WINDOWS else None


def _inflate(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """A gzip body may have several members."""
    parts: list[bytes] = []
    left, room = body, limit_bytes
    while left:
        inflater = zlib.decompressobj(_WINDOWS[coding])
        try:
            part = inflater.decompress(left, room + 1)
        except zlib.error as error:
            raise InvalidRequest(f"The body is no valid {coding}: {error}.") from None
        room -= len(part)
        if room < 0:
            raise PayloadTooLarge(
                f"The body takes more than {limit_bytes // MIB} MiB once inflated, the "
                "limit of this call."
            )
        if not inflater.eof:
            raise InvalidRequest(f"The body is no valid {coding}: it is cut off.")
        parts.append(part)
        left = inflater.unused_data
        if left and coding == "deflate":
            raise InvalidRequest("The body is no valid deflate: it goes on too long.")
    return b"".join(parts)
