"""The Open Inference Protocol's model repository extension."""

import asyncio
import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.access import DeclaredRoute, needs
from app.api.deps import CallerDep, RuntimeDep
from app.api.oip_docs import TAGS, body_of, oip_errors
from app.codecs.oip_json import parse_object
from app.enums import Scope
from app.errors import InvalidRequest
from app.schemas.oip import IndexEntry, IndexRequest, LoadRequest, UnloadRequest
from app.services.fields import model_name
from app.services.repository import (
    LoadOrder,
    RepositoryParameter,
    load_order,
    unload_version,
)

router = APIRouter(prefix="/v2/repository", tags=[*TAGS], route_class=DeclaredRoute)


@router.post(
    "/index",
    summary="Every version and its state",
    response_model_exclude_none=True,
    responses=oip_errors(400),
    openapi_extra=body_of(IndexRequest),
)
@needs(Scope.READ)
async def repository_index(
    request: Request, runtime: RuntimeDep, caller: CallerDep
) -> list[IndexEntry]:
    ready = _object(await request.body()).get("ready", False)
    if not isinstance(ready, bool):
        raise InvalidRequest("ready must be true or false.")
    return [
        IndexEntry(
            name=entry.name,
            version=entry.version,
            state=entry.state,
            reason=entry.reason or None,
        )
        for entry in runtime.repository.index(ready=ready)
        if caller.sees(entry.name)
    ]


@router.post(
    "/models/{name}/load",
    summary="Load a model",
    response_class=Response,
    responses=oip_errors(400, 404, 413, 503, 507),
    openapi_extra=body_of(LoadRequest),
)
@needs(Scope.WRITE)
async def load_model(name: str, request: Request, runtime: RuntimeDep) -> Response:
    """Brings back an unloaded version, the highest one if none is named, or puts in a
    new one. Large models go to `/api/v1/models/upload`, which takes no base64."""
    order = await asyncio.to_thread(_order, await request.body())
    await runtime.repository.load(model_name(name), order)
    return Response(media_type="application/json")


@router.post(
    "/models/{name}/unload",
    summary="Unload a model, or one version of it",
    response_class=Response,
    responses=oip_errors(400, 404, 503),
    openapi_extra=body_of(UnloadRequest),
)
@needs(Scope.WRITE)
async def unload_model(name: str, request: Request, runtime: RuntimeDep) -> Response:
    """It stays unloaded, everywhere and after a restart, until it is loaded again."""
    version = unload_version(_parameters(await request.body()))
    await runtime.repository.unload(model_name(name), version)
    return Response(media_type="application/json")


def _object(body: bytes) -> dict[str, Any]:
    return parse_object(body) if body.strip() else {}


def _parameters(body: bytes) -> dict[str, Any]:
    parameters = _object(body).get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("parameters must be an object.")
    return parameters


def _order(body: bytes) -> LoadOrder:
    parameters: dict[str, RepositoryParameter] = {
        name: _decoded(name, value) if name.startswith("file:") else value
        for name, value in _parameters(body).items()
    }
    return load_order(parameters)


def _decoded(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise InvalidRequest(f'the parameter "{name[:200]}" must be a base64 string.')
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f'the parameter "{name[:200]}" holds no valid base64.'
        ) from None
