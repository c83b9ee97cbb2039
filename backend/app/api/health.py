"""Is it alive, can it serve, and is everything behind it well?"""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from app import __version__
from app.api.access import DeclaredRoute, needs, open_to_all
from app.api.deps import RuntimeDep
from app.api.openapi import error_responses
from app.enums import Scope
from app.errors import DatabaseUnavailable, ShuttingDown
from app.runtime import Runtime
from app.schemas.health import (
    Health,
    Liveness,
    Overall,
    Part,
    Readiness,
    WorkersHealth,
)

router = APIRouter(tags=["service"], route_class=DeclaredRoute)

# A look at the database or Redis must not hold up a probe.
LOOK_TIMEOUT_S = 2.0


@router.head("/health", include_in_schema=False)
@router.head("/api/v1/health", include_in_schema=False)
@router.get("/health", summary="Health, where probes look for it")
@router.get("/api/v1/health", summary="Health of the service and what it stands on")
@open_to_all
async def health(runtime: RuntimeDep) -> Health:
    """Always 200 while the process answers; `degraded` says that a part is down, or a
    server process not ready."""
    workers = runtime.fleet.workers
    database, redis = await asyncio.gather(_database(runtime), _redis(runtime))
    is_whole = workers.alive == workers.total
    is_well = is_whole and Part.DISCONNECTED not in (database, redis)
    return Health(
        status=Overall.HEALTHY if is_well else Overall.DEGRADED,
        version=__version__,
        environment=runtime.settings.environment,
        timestamp=datetime.now(UTC),
        database=database,
        redis=redis,
        queue=Part.EMBEDDED if redis is Part.DISABLED else redis,
        workers=WorkersHealth(**asdict(workers)),
    )


@router.head("/api/v1/ready", include_in_schema=False)
@router.get(
    "/api/v1/ready",
    summary="Whether models can be served",
    responses=error_responses(503),
)
@open_to_all
async def ready(runtime: RuntimeDep) -> Readiness:
    """503 while the server is shutting down, so that balancers look elsewhere."""
    if runtime.stopping:
        raise ShuttingDown("This server is shutting down.")
    return Readiness(ready=True)


@router.head("/api/v1/live", include_in_schema=False)
@router.get("/api/v1/live", summary="Whether the process answers")
@open_to_all
async def live() -> Liveness:
    return Liveness(live=True)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
@needs(Scope.READ, whole=True)
async def metrics(runtime: RuntimeDep) -> Response:
    return Response(await runtime.fleet.page(), media_type=runtime.metrics.content_type)


@router.get("/", include_in_schema=False)
@open_to_all
async def root() -> RedirectResponse:
    return RedirectResponse("/docs")


async def _database(runtime: Runtime) -> Part:
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            await runtime.database.ping()
    except (DatabaseUnavailable, TimeoutError):
        return Part.DISCONNECTED
    return Part.CONNECTED


async def _redis(runtime: Runtime) -> Part:
    if runtime.redis_probe is None:
        return Part.DISABLED
    answers = await runtime.redis_probe.answers()
    return Part.CONNECTED if answers else Part.DISCONNECTED
