"""The registry over HTTP: models, which are versions under a name."""

import math
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Request, Response, status

from app.api.access import needs
from app.api.deps import CallerDep, RuntimeDep
from app.api.json_only import JSONRoute
from app.api.model_document import document_of
from app.api.multipart import ReceivedUpload, receive_upload
from app.api.openapi import error_responses
from app.api.upload_form import FILE_BODY, ONE_SHOT_BODY, new_version
from app.auth.gate import check_whole
from app.crud.versions import VersionFilter
from app.enums import Scope, VersionStatus
from app.models.version import Version
from app.schemas.examples import FEATURES
from app.schemas.models import (
    FileReceived,
    ModelCreate,
    ModelList,
    ModelPage,
    ModelPatch,
    ModelRead,
    ValidationRead,
)
from app.services.fields import NewVersion, VersionPatch, model_name, search_text
from app.services.records import record_of

router = APIRouter(prefix="/api/v1", tags=["models"], route_class=JSONRoute)

_LOCATION: Final[dict[str, Any]] = {
    "headers": {"Location": {"schema": {"type": "string"}}}
}
_LAST_PAGE: Final = 1_000_000


@router.post(
    "/models",
    status_code=status.HTTP_201_CREATED,
    summary="Create a pending version",
    responses={201: _LOCATION, **error_responses(400, 409, 413, 415, 422, 503)},
)
@needs(Scope.WRITE)
async def create_model(
    body: ModelCreate, runtime: RuntimeDep, caller: CallerDep, response: Response
) -> ModelRead:
    """The long way: create, upload its file, validate it. For all at once, see
    `POST /models/upload`."""
    runtime.identity.sight.check_new(caller, body.name)
    row = await runtime.registry.create(
        NewVersion(body.name, body.version, body.description, body.model_metadata)
    )
    response.headers["Location"] = _path_of(row)
    return ModelRead.model_validate(row)


@router.post(
    "/models/upload",
    status_code=status.HTTP_201_CREATED,
    summary="Upload a model: create, upload and validate at once",
    openapi_extra=ONE_SHOT_BODY,
    responses={
        200: {
            "model": ModelRead,
            "description": "This name has a version with this very content, ready or "
            "archived.",
        },
        201: _LOCATION,
        **error_responses(400, 408, 409, 413, 415, 422, 503, 507),
    },
)
@needs(Scope.WRITE)
async def upload_model(
    request: Request, runtime: RuntimeDep, caller: CallerDep, response: Response
) -> ModelRead:
    """Gives a model that is ready to predict, or an error and nothing kept."""
    async with _incoming(request, runtime) as received:
        new = new_version(received.fields, filename=received.filename)
        runtime.identity.sight.check_new(caller, new.name)
        uploaded = await runtime.registry.upload_whole(received.staging, new)
    if not uploaded.created:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = _path_of(uploaded.row)
    return ModelRead.model_validate(uploaded.row)


@router.get(
    "/models",
    summary="List models, newest first",
    responses=error_responses(422, 503),
)
@needs(Scope.READ)
async def list_models(
    runtime: RuntimeDep,
    caller: CallerDep,
    name: Annotated[str | None, Query(description="Exactly this name.")] = None,
    status: Annotated[VersionStatus | None, Query()] = None,
    search: Annotated[
        str | None, Query(description="Part of the name or description.")
    ] = None,
    page: Annotated[int, Query(ge=1, le=_LAST_PAGE)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ModelList:
    wanted = VersionFilter(
        name=None if name is None else model_name(name),
        status=status,
        search=None if search is None else search_text(search),
        names=caller.regex,
    )
    found = await runtime.registry.list_versions(wanted, page=page, page_size=page_size)
    return ModelList(
        items=[ModelRead.model_validate(row) for row in found.items],
        total=found.total,
        page=page,
        page_size=page_size,
        total_pages=math.ceil(found.total / page_size),
    )


@router.head("/models/{ref}", include_in_schema=False)
@router.get(
    "/models/{ref}", summary="Get a model", responses=error_responses(404, 422, 503)
)
@needs(Scope.READ)
async def get_model(ref: str, runtime: RuntimeDep) -> ModelPage:
    """`ref`: an id, `name`, `name:version` or `name@alias`."""
    row = await runtime.registry.get(ref)
    model = ModelRead.model_validate(row).model_dump(exclude={"model_id"})
    execution = runtime.runner.execution(record_of(row))
    return ModelPage.model_validate({**model, "execution": execution})


@router.patch(
    "/models/{ref}",
    summary="Change a model's description, metadata, default or status",
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
)
@needs(Scope.WRITE)
async def patch_model(
    ref: str, body: ModelPatch, runtime: RuntimeDep, caller: CallerDep
) -> ModelRead:
    """`model_metadata` replaces what was there; `register` merges into it."""
    if body.is_default is not None:
        check_whole(caller)
    patch = VersionPatch(
        description=body.description,
        sets_description="description" in body.model_fields_set,
        metadata=body.model_metadata,
        is_default=body.is_default,
        status=None if body.status is None else VersionStatus(body.status),
    )
    return ModelRead.model_validate(await runtime.registry.patch(ref, patch))


@router.delete(
    "/models/{ref}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    summary="Delete a version",
    responses=error_responses(404, 422, 503),
)
@needs(Scope.WRITE)
async def delete_model(ref: str, runtime: RuntimeDep) -> None:
    """This process serves it no more; the others stop within a second."""
    await runtime.registry.delete(ref)


@router.post(
    "/models/{ref}/upload",
    summary="Upload the file of a version",
    openapi_extra=FILE_BODY,
    responses=error_responses(400, 404, 408, 409, 413, 415, 422, 503, 507),
)
@needs(Scope.WRITE)
async def upload_model_file(
    ref: str, request: Request, runtime: RuntimeDep
) -> FileReceived:
    """Replaces a file that is not committed; validate it next."""
    await runtime.registry.check_takes_file(ref)
    async with _incoming(request, runtime) as received:
        row = await runtime.registry.upload(ref, received.staging)
    return FileReceived.model_validate(row)


@router.post(
    "/models/{ref}/validate",
    summary="Validate an uploaded file and commit it",
    responses=error_responses(404, 409, 422, 500, 503),
)
@needs(Scope.WRITE)
async def validate_model(ref: str, runtime: RuntimeDep) -> ValidationRead:
    """The file is loaded and run in a sandbox. An invalid one is no error of this
    call: `valid` is false, `error_message` says why, and another may be uploaded."""
    row = await runtime.registry.validate(ref)
    valid = row.status is VersionStatus.READY
    message = f"{row.name}:{row.version} is ready to predict."
    return ValidationRead(
        id=row.id,
        valid=valid,
        status=row.status,
        input_schema=row.input_schema,
        output_schema=row.output_schema,
        model_metadata=row.model_metadata,
        error_message=row.error_message,
        message=message if valid else "The file is no valid model: upload another.",
    )


@router.post(
    "/models/{ref}/register",
    summary="Merge metadata and name the model's features",
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
)
@needs(Scope.WRITE)
async def register_model(
    ref: str,
    body: Annotated[
        dict[str, Any],
        Body(
            examples=[
                {
                    "feature_names": list(FEATURES),
                    "metrics": {"accuracy": 0.97},
                }
            ]
        ),
    ],
    runtime: RuntimeDep,
) -> ModelRead:
    """`feature_names` name the columns of the model's input; all other fields go
    into `model_metadata`, key by key."""
    return ModelRead.model_validate(await runtime.registry.register(ref, body))


@router.get(
    "/models/{ref}/openapi.json",
    summary="An OpenAPI document of this one model's predict call",
    responses=error_responses(404, 409, 422, 503),
)
@needs(Scope.READ, Scope.PREDICT)
async def model_openapi(ref: str, runtime: RuntimeDep) -> dict[str, Any]:
    return document_of(await runtime.registry.get_ready(ref))


def _incoming(
    request: Request, runtime: RuntimeDep
) -> AbstractAsyncContextManager[ReceivedUpload]:
    settings = runtime.settings
    return receive_upload(
        request,
        runtime.store,
        limit_bytes=settings.max_upload_mb << 20,
        idle_timeout_s=settings.staging_timeout_s,
    )


def _path_of(row: Version) -> str:
    return f"/api/v1/models/{row.id}"
