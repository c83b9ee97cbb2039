"""Who may call what, written into the OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI

from app.api.access import declared_routes
from app.auth.gate import Access

UNAUTHORIZED: Final = "No API key, or one that is mistyped, unknown, revoked or expired"
FORBIDDEN: Final = "The API key lacks the scope that is named in `detail`"
LIMITED: Final = (
    "Over the rate limit or a quota of the key, or too many wrong keys from this "
    "address; `Retry-After` says when to ask again"
)
SCHEMES: Final[dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer mlf_…`",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key without a word before it.",
    },
}
_REFUSALS: Final = ((401, UNAUTHORIZED), (403, FORBIDDEN), (429, LIMITED))
_ERROR: Final = {"$ref": "#/components/schemas/OipError"}


def secure(document: dict[str, Any], app: FastAPI) -> None:
    """Each operation with the scopes one of which it needs; open ones with none."""
    document["components"]["securitySchemes"] = SCHEMES
    for route in declared_routes(app):
        for method in route.methods or ():
            operation = document["paths"].get(route.path, {}).get(method.lower())
            if operation is not None:
                _secure(operation, route.access, is_oip=route.path.startswith("/v2"))


def requirements(access: Access) -> list[dict[str, list[str]]]:
    """Of the list, any one is enough."""
    return [{name: [scope.value]} for scope in access.scopes for name in SCHEMES]


def _secure(operation: dict[str, Any], access: Access, *, is_oip: bool) -> None:
    operation["security"] = requirements(access)
    if not access.scopes:
        return
    for status, reason in _REFUSALS:
        response: dict[str, Any] = {"description": reason}
        if is_oip:
            response["content"] = {"application/json": {"schema": _ERROR}}
        operation["responses"][str(status)] = response
