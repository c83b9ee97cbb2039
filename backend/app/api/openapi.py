"""The OpenAPI document and its pages, which load nothing from elsewhere."""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.api.pages import guarded
from app.api.security_docs import FORBIDDEN, UNAUTHORIZED, secure
from app.schemas.errors import Problem
from app.schemas.examples import PARAMETERS

PROBLEM = "application/problem+json"
ASSETS_URL = "/docs-assets"

REASONS = {
    400: "The body is no valid JSON, or an input does not fit the model",
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    404: "No such model, version, alias, job or route",
    406: "The answer can't be given in an accepted type",
    408: "The body came too slowly and was cut",
    409: "It exists already, is not ready, or its state forbids this",
    413: "Larger than the limit named in `detail`",
    415: "A content type that this call does not take",
    416: "The file has no such range",
    422: "A field breaks its rule, or the file is no valid model",
    500: "A committed model file is missing or corrupt",
    503: "Overloaded, shutting down, or the database can't be reached",
    504: "The inference ran past its time limit",
    507: "The disk is full",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": Problem, "description": REASONS[status]}
        for status in statuses
    }


class Documented(FastAPI):
    """FastAPI, whose document calls every error a problem and whose pages are
    served from here."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(docs_url=None, redoc_url=None, **arguments)
        assets = Path(fastapi_offline.__file__).parent / "static"
        self.mount(ASSETS_URL, StaticFiles(directory=assets))
        self.add_route("/docs", _swagger, include_in_schema=False)
        self.add_route("/redoc", _redoc, include_in_schema=False)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            secure(document, self)
            for path, item in document["paths"].items():
                for operation in item.values():
                    if path.startswith("/v2"):
                        # What FastAPI adds on its own; the protocol knows no 422.
                        operation["responses"].pop("422", None)
                    else:
                        _name_problems(operation["responses"])
                    _give_examples(operation.get("parameters", []))
        return super().openapi()


def _name_problems(responses: dict[str, Any]) -> None:
    """FastAPI gives errors the content type of the route's success."""
    for status, response in responses.items():
        if status.startswith(("4", "5")):
            schema = {"$ref": "#/components/schemas/Problem"}
            response["content"] = {PROBLEM: {"schema": schema}}


def _give_examples(parameters: list[dict[str, Any]]) -> None:
    for parameter in parameters:
        if parameter["in"] == "path" and parameter["name"] in PARAMETERS:
            parameter["example"] = PARAMETERS[parameter["name"]]


async def _swagger(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="MLForge API",
        swagger_js_url=f"{root}{ASSETS_URL}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS_URL}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS_URL}/favicon.png",
    )
    return guarded(page)


async def _redoc(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    page = get_redoc_html(
        openapi_url=f"{root}/openapi.json",
        title="MLForge API",
        redoc_js_url=f"{root}{ASSETS_URL}/redoc.standalone.js",
        redoc_favicon_url=f"{root}{ASSETS_URL}/favicon.png",
        with_google_fonts=False,
    )
    return guarded(page)
