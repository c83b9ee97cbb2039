"""The versions under one name."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.access import DeclaredRoute, needs
from app.api.deps import RuntimeDep
from app.api.openapi import error_responses
from app.enums import Scope
from app.schemas.models import ModelRead
from app.schemas.versions import VersionList
from app.services.fields import model_name

router = APIRouter(
    prefix="/api/v1/models/by-name", tags=["versions"], route_class=DeclaredRoute
)


@router.get(
    "/{name}/versions",
    summary="List a name's versions, highest first",
    responses=error_responses(404, 422, 503),
)
@needs(Scope.READ)
async def list_model_versions(name: str, runtime: RuntimeDep) -> VersionList:
    """By semantic-version precedence; versions that are none come last, newest
    first."""
    rows = await runtime.registry.versions_of(model_name(name))
    return VersionList(
        name=name,
        versions=[ModelRead.model_validate(row) for row in rows],
        total=len(rows),
        latest_version=rows[0].version,
    )


@router.get(
    "/{name}/latest",
    summary="Get a name's highest version",
    responses=error_responses(404, 422, 503),
)
@needs(Scope.READ)
async def get_latest_version(
    name: str,
    runtime: RuntimeDep,
    ready_only: Annotated[
        bool, Query(description="false takes versions of any status.")
    ] = True,
) -> ModelRead:
    row = await runtime.registry.latest(model_name(name), ready_only=ready_only)
    return ModelRead.model_validate(row)
