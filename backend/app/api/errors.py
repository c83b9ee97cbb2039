"""The one place where an error becomes an answer: RFC 9457 problem details, and
under /v2 the form that the Open Inference Protocol's clients read."""

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from app.api.openapi import PROBLEM
from app.errors import (
    BadRequest,
    FieldError,
    InvalidField,
    InvalidJSON,
    InvalidRequest,
    MethodNotAllowed,
    MLForgeError,
    ModelNotReady,
    RouteNotFound,
)
from app.kit.redaction import without_keys

logger = structlog.get_logger(__name__)

JSON = "application/json"
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(MLForgeError, _render)
    app.add_exception_handler(HTTPException, _render_http)
    app.add_exception_handler(RequestValidationError, _render_validation)


def rendered(error: MLForgeError, scope: Scope) -> Response:
    request_id = scope["state"]["request_id"]
    if _speaks_oip(scope):
        return Response(
            _oip_bytes(error, request_id),
            status_code=_oip_status(error),
            media_type=JSON,
            headers=error.headers,
        )
    return Response(
        problem_bytes(error, request_id),
        status_code=error.status,
        media_type=PROBLEM,
        headers=error.headers,
    )


def _speaks_oip(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path == "/v2" or path.startswith("/v2/")


def _oip_status(error: MLForgeError) -> int:
    """The protocol knows no 409 and no 422; a model that is not ready is a 503."""
    if isinstance(error, ModelNotReady):
        return 503
    return 400 if error.status in (409, 422) else error.status


def _oip_bytes(error: MLForgeError, request_id: str) -> bytes:
    body = {
        "error": without_keys(error.detail),
        "code": error.code,
        "request_id": request_id,
    }
    return orjson.dumps(body)


def problem_bytes(error: MLForgeError, request_id: str) -> bytes:
    body: dict[str, Any] = {
        "type": f"urn:mlforge:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": without_keys(error.detail),
        "code": error.code,
        "request_id": request_id,
    }
    if error.errors:
        body["errors"] = [
            {"loc": without_keys(e.loc), "msg": without_keys(e.msg)}
            for e in error.errors
        ]
    return orjson.dumps(body, default=str)


async def _render(request: Request, error: Exception) -> Response:
    assert isinstance(error, MLForgeError)
    if error.status >= 500:
        logger.error("request_failed", code=error.code, detail=error.detail)
    return rendered(error, request.scope)


async def _render_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return rendered(_from_http(request, error), request.scope)


def _from_http(request: Request, error: HTTPException) -> MLForgeError:
    """What the framework raised, in our words."""
    if isinstance(error.__cause__, MLForgeError):
        return error.__cause__
    path = request.url.path
    if error.status_code == 404:
        return RouteNotFound(
            f"There is no {request.method} {path[:200]}; the calls are listed at /docs."
        )
    if error.status_code == 405:
        allowed = ", ".join(_allowed_methods(request))
        return MethodNotAllowed(
            f"{request.method} is not allowed on {path[:200]}; allowed: {allowed}.",
            headers={"Allow": allowed},
        )
    return InvalidRequest(f"The request could not be read: {error.detail}.")


def _allowed_methods(request: Request) -> list[str]:
    """The methods of every route with this path; the router names one route's only."""
    routes = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in routes
        )
    ]


async def _render_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return rendered(_from_validation(error.errors()), request.scope)


def _from_validation(found: Any) -> MLForgeError:
    broken = [_field_error(item) for item in found]
    for item in found:
        if item["type"] == "json_invalid":
            reason = item.get("ctx", {}).get("error", "it could not be parsed")
            return InvalidJSON(f"The body is no valid JSON: {reason}.")
    first = broken[0]
    more = f" ({len(broken) - 1} more in errors)" if len(broken) > 1 else ""
    if _is_not_an_object(found[0]):
        wrong: type[BadRequest] = InvalidRequest
        return wrong(f"{first.loc}: {first.msg}.", errors=broken)
    return InvalidField(f"{first.loc}: {first.msg}{more}.", errors=broken)


def _is_not_an_object(item: Mapping[str, Any]) -> bool:
    return tuple(item["loc"]) == ("body",) and str(item["type"]) != "missing"


def _field_error(item: Mapping[str, Any]) -> FieldError:
    place = [str(part) for part in item["loc"]]
    if len(place) > 1 and place[0] in {"body", "query", "path", "header"}:
        place = place[1:]
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return FieldError(".".join(place), message.rstrip("."))
