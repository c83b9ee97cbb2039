"""`X-Request-Timeout`: how long this caller waits for a prediction."""

import re
import time
from typing import Final

from starlette.types import Scope

from app.errors import InvalidRequest
from app.serving.limits import Deadline

HEADER: Final = b"x-request-timeout"
_SECONDS: Final = re.compile(rb"[ \t]*(\d{1,9}(?:\.\d{1,9})?)[ \t]*")


def deadlines(scope: Scope, limit_s: float) -> tuple[float, Deadline | None]:
    """The server's, and the caller's own where that is earlier."""
    now = time.monotonic()
    value = next((v for name, v in scope["headers"] if name == HEADER), None)
    return now + limit_s, deadline_of(value, limit_s=limit_s, now=now)


def deadline_of(value: bytes | None, *, limit_s: float, now: float) -> Deadline | None:
    """When the caller who sent this header stops waiting; `now` is monotonic.

    None where the server's limit of `limit_s` comes first, or without the header.
    InvalidRequest for anything but seconds above 0.
    """
    if value is None:
        return None
    found = _SECONDS.fullmatch(value)
    own_s = float(found[1]) if found else 0.0
    if own_s <= 0:
        raise InvalidRequest(
            "X-Request-Timeout must be a number of seconds above 0, such as 2 or 0.5, "
            f"got {value[:40].decode('latin-1')!r}."
        )
    return Deadline.after(own_s, now=now) if own_s < limit_s else None
