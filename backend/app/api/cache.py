"""What the prediction cache did, and emptying it for one version."""

from dataclasses import asdict

from fastapi import APIRouter, Response

from app.api.access import DeclaredRoute, needs
from app.api.deps import RuntimeDep
from app.api.openapi import error_responses
from app.enums import Scope
from app.schemas.health import CacheMetrics, PredictionCacheMetrics

router = APIRouter(prefix="/api/v1", tags=["cache"], route_class=DeclaredRoute)


@router.get("/cache/metrics", summary="Counts of the prediction cache")
@needs(Scope.READ, whole=True)
async def cache_metrics(runtime: RuntimeDep) -> CacheMetrics:
    """Counts of all the server's processes since their start or the last reset."""
    return await _metrics(runtime)


@router.post("/cache/metrics/reset", summary="Set the counts back to zero")
@needs(Scope.WRITE, whole=True)
async def reset_cache_metrics(runtime: RuntimeDep) -> CacheMetrics:
    await runtime.fleet.reset_cache()
    return await _metrics(runtime)


@router.delete(
    "/models/{ref}/cache",
    status_code=204,
    response_class=Response,
    summary="Forget the cached predictions of a version",
    responses=error_responses(404, 422, 503),
)
@needs(Scope.WRITE)
async def clear_model_cache(ref: str, runtime: RuntimeDep) -> None:
    """Every process stops using them within a second."""
    version_id = await runtime.registry.clear_cache(ref)
    runtime.cache.drop_version(version_id)


async def _metrics(runtime: RuntimeDep) -> CacheMetrics:
    stats = asdict(await runtime.fleet.cache_stats())
    asked = stats["hits"] + stats["misses"] + stats["coalesced"]
    hit_rate = round(stats["hits"] / asked, 4) if asked else 0.0
    return CacheMetrics(
        prediction_cache=PredictionCacheMetrics(**stats, hit_rate=hit_rate)
    )
