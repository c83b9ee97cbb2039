"""The application: routers, middleware, error handlers, and a runtime for its life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from app import __version__
from app.api import (
    aliases,
    api_keys,
    audit,
    cache,
    files,
    health,
    jobs,
    models,
    oip_models,
    oip_repository,
    versions,
)
from app.api.access import check_declared
from app.api.base_path import BasePath
from app.api.body import BodyLimit
from app.api.errors import install_error_handlers
from app.api.express import EXPRESS, Express
from app.api.middleware import RequestLog, RequestScope
from app.api.oip_infer import infer_routes
from app.api.openapi import Documented
from app.api.predictions import plain_routes
from app.config import Settings
from app.observability.metrics import Metrics
from app.observability.siblings import ALONE, Place
from app.runtime import build

# Bodies of the control plane: metadata and small requests.
CONTROL_BODY_BYTES = 1024 * 1024

MODULES = (
    versions,
    aliases,
    models,
    files,
    jobs,
    cache,
    health,
    oip_models,
    oip_repository,
    api_keys,
    audit,
)

DESCRIPTION = """
Upload any ONNX model, get predictions over REST and the Open Inference Protocol.

A model is named by its UUID, its `name` (the version that serves by default),
`name:version` or `name@alias`. Every error is `application/problem+json`,
under `/v2` the protocol's `{"error": …}`.
"""


def create_app(settings: Settings | None = None, *, place: Place = ALONE) -> FastAPI:
    """An application of its own; its runtime lives from startup to shutdown."""
    settings = settings or Settings()
    metrics = Metrics(version=__version__)

    requests = RequestLog(metrics, access_log=settings.access_log)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with build(settings, metrics, place=place) as runtime:
            app.state.runtime = runtime
            yield {EXPRESS: Express(runtime, requests)}

    app = Documented(
        title="MLForge",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
    )
    app.router.routes.extend([*plain_routes(), *infer_routes()])
    for module in MODULES:
        app.include_router(module.router)
    check_declared(app)
    install_error_handlers(app)
    app.add_middleware(
        BodyLimit,
        limit_bytes=CONTROL_BODY_BYTES,
        large_bytes=settings.max_body_mb * 1024 * 1024,
    )
    app.add_middleware(RequestScope, requests=requests)
    if settings.base_path:
        app.add_middleware(BasePath, base=settings.base_path)
    return app
