"""Calls that take JSON say so before they read anything else."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response

from app.api.access import DeclaredRoute
from app.errors import UnsupportedMediaType

JSON: Final = "application/json"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JSONRoute(DeclaredRoute):
    """A route that, where it has a typed body, takes nothing but JSON.

    FastAPI would read another type as text and find fault with that.
    """

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler
        is_needed = self.body_field.field_info.is_required()

        async def checked(request: Request) -> Response:
            if is_needed or _has_body(request):
                require_json(request)
            return await handler(request)

        return checked


def require_json(request: Request) -> None:
    """Raises UnsupportedMediaType unless the body is plain, typed JSON."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != JSON and not (
        given.startswith("application/") and given.endswith("+json")
    ):
        found = (
            f"Content-Type {given[:100]}" if given else "A body without a Content-Type"
        )
        raise UnsupportedMediaType(
            f"{found} is not taken here; send {JSON} (curl: -H 'Content-Type: {JSON}')."
        )
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise UnsupportedMediaType(
            f"Content-Encoding {coding[:100]} is not taken here; send the {JSON} body "
            "as it is, not compressed."
        )


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers
