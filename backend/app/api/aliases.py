"""Aliases: movable names for one name's versions."""

from fastapi import APIRouter, Response, status

from app.api.access import needs
from app.api.deps import RuntimeDep
from app.api.json_only import JSONRoute
from app.api.openapi import error_responses
from app.enums import Scope
from app.models.version import Version
from app.schemas.aliases import AliasList, AliasPut, AliasRead
from app.services.fields import alias_name, model_name, version_name

router = APIRouter(
    prefix="/api/v1/models/by-name", tags=["aliases"], route_class=JSONRoute
)


@router.get(
    "/{name}/aliases",
    summary="List a name's aliases",
    responses=error_responses(404, 422, 503),
)
@needs(Scope.READ)
async def list_aliases(name: str, runtime: RuntimeDep) -> AliasList:
    pairs = await runtime.registry.aliases_of(model_name(name))
    aliases = [_read(alias, row) for alias, row in pairs]
    return AliasList(name=name, aliases=aliases, total=len(aliases))


@router.get(
    "/{name}/aliases/{alias}",
    summary="Get what an alias points at",
    responses=error_responses(404, 422, 503),
)
@needs(Scope.READ)
async def get_alias(name: str, alias: str, runtime: RuntimeDep) -> AliasRead:
    ref = f"{model_name(name)}@{alias_name(alias)}"
    return _read(alias, await runtime.registry.get(ref))


@router.put(
    "/{name}/aliases/{alias}",
    summary="Point an alias at a ready version",
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
)
@needs(Scope.WRITE)
async def put_alias(
    name: str, alias: str, body: AliasPut, runtime: RuntimeDep
) -> AliasRead:
    """Moves it when it pointed elsewhere. `production` is what the bare name means."""
    row = await runtime.registry.set_alias(
        model_name(name), alias_name(alias), version_name(body.version)
    )
    return _read(alias, row)


@router.delete(
    "/{name}/aliases/{alias}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    summary="Remove an alias",
    responses=error_responses(404, 422, 503),
)
@needs(Scope.WRITE)
async def delete_alias(name: str, alias: str, runtime: RuntimeDep) -> None:
    await runtime.registry.delete_alias(model_name(name), alias_name(alias))


def _read(alias: str, row: Version) -> AliasRead:
    return AliasRead(name=row.name, alias=alias, version=row.version, model_id=row.id)
