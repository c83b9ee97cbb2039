"""The files of a version, for download."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.access import DeclaredRoute, needs
from app.api.deps import RuntimeDep
from app.api.downloads import download
from app.api.openapi import error_responses
from app.artifacts.store import MODEL_FILE
from app.enums import Scope

router = APIRouter(prefix="/api/v1", tags=["models"], route_class=DeclaredRoute)


@router.head("/models/{ref}/file", include_in_schema=False)
@router.get(
    "/models/{ref}/file",
    summary="Download a version's ONNX file",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {"application/octet-stream": {}}},
        206: {"description": "The ranges asked for."},
        304: {"description": "The caller's copy, named by `If-None-Match`, is right."},
        **error_responses(404, 416, 422, 500, 503),
    },
)
@needs(Scope.READ)
async def download_file(
    ref: str,
    request: Request,
    runtime: RuntimeDep,
    file: Annotated[
        str,
        Query(description="model.onnx, or the name of one of its companion files."),
    ] = MODEL_FILE,
) -> Response:
    """`model.onnx`, unless `?file=` names one of the version's other `files`, such as
    the external data of a large model. Its `ETag` is its SHA-256."""
    found = await runtime.registry.artifact_of(ref)
    path = await runtime.store.path(found.artifact, file)
    named = f"{found.name}-{found.version}.onnx" if file == MODEL_FILE else file
    return download(request, path, found.artifact.get(file), filename=named)
