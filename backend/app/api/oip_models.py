"""The Open Inference Protocol: the server and its models, as they are now."""

from fastapi import APIRouter, Depends, Request

from app.api.access import DeclaredRoute, needs, open_to_all
from app.api.deps import CallerDep, RuntimeDep
from app.api.oip_docs import TAGS, oip_errors
from app.api.oip_render import config_of, metadata_of, statistics_of
from app.enums import Scope
from app.errors import ShuttingDown
from app.schemas.oip import (
    OipConfig,
    OipLive,
    OipModel,
    OipModelReady,
    OipModels,
    OipReady,
    OipServer,
    OipStatistics,
)


async def _caught_up(request: Request, runtime: RuntimeDep) -> None:
    """A model that another process has just changed is known here too."""
    parameters = request.path_params
    if "name" in parameters and not runtime.oip.is_ready(
        parameters["name"], parameters.get("version")
    ):
        await runtime.traffic.catch_up_on_miss()


router = APIRouter(
    prefix="/v2",
    tags=[*TAGS],
    dependencies=[Depends(_caught_up)],
    route_class=DeclaredRoute,
)

VERSION = "/models/{name}/versions/{version}"
UNKNOWN = oip_errors(400, 404, 503)


@router.get("", summary="Server metadata")
@needs(Scope.READ, Scope.PREDICT)
async def server(runtime: RuntimeDep) -> OipServer:
    view = runtime.oip.server
    return OipServer(
        name=view.name, version=view.version, extensions=list(view.extensions)
    )


router.add_api_route("/", server, include_in_schema=False)


@router.get("/health/live", summary="Whether the process answers")
@open_to_all
async def server_live() -> OipLive:
    return OipLive(live=True)


@router.get(
    "/health/ready",
    summary="Whether models can be served",
    responses=oip_errors(503),
)
@open_to_all
async def server_ready(runtime: RuntimeDep) -> OipReady:
    if runtime.stopping:
        raise ShuttingDown("This server is shutting down.")
    return OipReady(ready=True)


@router.get("/models", summary="Names of the models that are ready")
@needs(Scope.READ)
async def list_names(runtime: RuntimeDep, caller: CallerDep) -> OipModels:
    return OipModels(models=list(filter(caller.sees, runtime.oip.names())))


@router.get("/models/stats", summary="Statistics of all models")
@needs(Scope.READ)
async def all_statistics(runtime: RuntimeDep, caller: CallerDep) -> OipStatistics:
    counted = await runtime.fleet.statistics()
    found = runtime.oip.statistics(counted=counted)
    return statistics_of([one for one in found if caller.sees(one.name)])


@router.get("/models/{name}", summary="Model metadata", responses=UNKNOWN)
@needs(Scope.READ, Scope.PREDICT)
async def model_metadata(name: str, runtime: RuntimeDep) -> OipModel:
    """Outputs that are no tensors are shown as the tensors that an inference gives."""
    return metadata_of(runtime.oip.model(name, None))


@router.get(VERSION, summary="Metadata of a version or an alias", responses=UNKNOWN)
@needs(Scope.READ, Scope.PREDICT)
async def version_metadata(name: str, version: str, runtime: RuntimeDep) -> OipModel:
    return metadata_of(runtime.oip.model(name, version))


@router.get(
    "/models/{name}/ready", summary="Whether a model is ready", responses=UNKNOWN
)
@needs(Scope.READ, Scope.PREDICT)
async def model_ready(name: str, runtime: RuntimeDep) -> OipModelReady:
    return OipModelReady(name=runtime.oip.ready(name, None).name, ready=True)


@router.get(
    f"{VERSION}/ready",
    summary="Whether a version or an alias is ready",
    responses=UNKNOWN,
)
@needs(Scope.READ, Scope.PREDICT)
async def version_ready(name: str, version: str, runtime: RuntimeDep) -> OipModelReady:
    return OipModelReady(name=runtime.oip.ready(name, version).name, ready=True)


@router.get("/models/{name}/config", summary="Model configuration", responses=UNKNOWN)
@needs(Scope.READ, Scope.PREDICT)
async def model_config(name: str, runtime: RuntimeDep) -> OipConfig:
    return config_of(runtime.oip.config(name, None))


@router.get(
    f"{VERSION}/config",
    summary="Configuration of a version or an alias",
    responses=UNKNOWN,
)
@needs(Scope.READ, Scope.PREDICT)
async def version_config(name: str, version: str, runtime: RuntimeDep) -> OipConfig:
    return config_of(runtime.oip.config(name, version))


@router.get(
    "/models/{name}/stats",
    summary="Statistics of a model's ready versions",
    responses=UNKNOWN,
)
@needs(Scope.READ)
async def model_statistics(name: str, runtime: RuntimeDep) -> OipStatistics:
    """Counts of this process since its start."""
    counted = await runtime.fleet.statistics()
    return statistics_of(runtime.oip.statistics(name, counted=counted))


@router.get(
    f"{VERSION}/stats",
    summary="Statistics of a version or an alias",
    responses=UNKNOWN,
)
@needs(Scope.READ)
async def version_statistics(
    name: str, version: str, runtime: RuntimeDep
) -> OipStatistics:
    counted = await runtime.fleet.statistics()
    return statistics_of(runtime.oip.statistics(name, version, counted=counted))
