"""Files as HTTP wants them: named, with an ETag, in full or in ranges (RFC 9110)."""

import re
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from app.errors import RangeNotSatisfiable

_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18})")


class Hashed(Protocol):
    """A file whose content is known by its SHA-256."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


def download(
    request: Request,
    path: Path,
    file: Hashed,
    *,
    filename: str,
    media_type: str = "application/octet-stream",
    vary: str = "",
) -> Response:
    """200, 206 or 304; raises RangeNotSatisfiable. The ETag is the file's SHA-256."""
    etag = f'"{file.sha256}"'
    # A reference such as name@alias moves, so caches must ask each time.
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if vary:
        headers["Vary"] = vary
    if _is_known(request, etag):
        return Response(status_code=304, headers=headers)
    return _Download(
        path,
        headers=headers,
        media_type=media_type,
        filename=filename,
        ranged=_is_ranged(request, etag, file.size_bytes),
    )


def attachment(filename: str) -> str:
    """The Content-Disposition of a download, for any letters in the name."""
    quoted = quote(filename)
    if quoted == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename*=utf-8''{quoted}"


class _Download(FileResponse):
    """Hides ranges from FileResponse that it would refuse and RFC 9110 ignores."""

    chunk_size = 1 << 20

    def __init__(
        self,
        path: Path,
        *,
        headers: dict[str, str],
        media_type: str,
        filename: str,
        ranged: bool,
    ) -> None:
        super().__init__(
            path, headers=headers, media_type=media_type, filename=filename
        )
        self._ranged = ranged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._ranged:
            kept = [pair for pair in scope["headers"] if pair[0].lower() != b"range"]
            scope = {**scope, "headers": kept}
        await super().__call__(scope, receive, send)


def _is_known(request: Request, etag: str) -> bool:
    known = ",".join(request.headers.getlist("if-none-match"))
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return etag in tags or "*" in tags


def _is_ranged(request: Request, etag: str, size_bytes: int) -> bool:
    """Whether to answer with parts; what can't be read is no range at all."""
    unit, _, wanted = request.headers.get("range", "").partition("=")
    if request.method != "GET" or unit.strip().lower() != "bytes":
        return False
    if request.headers.get("if-range", etag) != etag:
        return False
    ranges = [_parse_range(spec.strip(), size_bytes) for spec in wanted.split(",")]
    if None in ranges:
        return False
    begun = [begin < min(end, size_bytes) for begin, end in filter(None, ranges)]
    if not any(begun):
        raise RangeNotSatisfiable(
            f"The range {wanted[:200]!r} lies outside of the file, which has "
            f"{size_bytes} bytes: ask for bytes 0 to {size_bytes - 1}.",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
    return all(begun)


def _parse_range(spec: str, size_bytes: int) -> tuple[int, int] | None:
    """First byte and the one after the last, or None if it is no range."""
    found = _RANGE.fullmatch(spec)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix:
        return max(size_bytes - int(suffix), 0), size_bytes if int(suffix) else 0
    if last and int(last) < int(first):
        return None
    return int(first), int(last) + 1 if last else size_bytes
