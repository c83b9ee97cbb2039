"""The audit log over HTTP, for administrators."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from app.api.access import DeclaredRoute, needs
from app.api.deps import RuntimeDep
from app.api.openapi import error_responses
from app.crud.audit_log import AuditFilter
from app.enums import Scope
from app.models.audit_entry import AuditEntry
from app.runtime import Runtime
from app.schemas.audit import AuditEntryRead, AuditList
from app.services.audit import line_of

router = APIRouter(prefix="/api/v1/audit", tags=["audit"], route_class=DeclaredRoute)

_NDJSON: Final = "application/x-ndjson"


def audit_filter(
    action: Annotated[
        str | None,
        Query(
            max_length=32,
            pattern=r"^[a-z]+(\.[a-z]+)?$",
            description="Such as `model.delete`, or all of a kind: `model`, `alias`, "
            "`cache`, `job`, `key`, `artifact`, `auth`.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        Query(
            max_length=16,
            pattern="^[0-9A-Za-z]+$",
            description="The id of an API key, or who acts without one.",
        ),
    ] = None,
    object: Annotated[  # noqa: A002 - the parameter's name
        str | None,
        Query(
            max_length=300,
            pattern=r"^[\x20-\x7e]+$",
            description="Exactly this object, or all of the model of this name.",
        ),
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="From then on.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Before then.")] = None,
) -> AuditFilter:
    return AuditFilter(action, key, object, since, until)


FilterDep = Annotated[AuditFilter, Depends(audit_filter)]


@router.get(
    "", summary="List the audit log, newest first", responses=error_responses(422, 503)
)
@needs(Scope.ADMIN)
async def list_audit(
    runtime: RuntimeDep,
    wanted: FilterDep,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AuditList:
    """Every change and who made it; failed authentications at a bounded rate."""
    found = await runtime.audit.page(wanted, page=page, page_size=page_size)
    return AuditList(
        items=[_read(entry) for entry in found.items],
        total=found.total,
        page=page,
        page_size=page_size,
        total_pages=-(-found.total // page_size),
    )


@router.get(
    "/export",
    summary="Export the audit log as JSON lines, oldest first",
    response_class=StreamingResponse,
    responses={
        200: {"description": "An entry a line.", "content": {_NDJSON: {}}},
        **error_responses(422, 503),
    },
)
@needs(Scope.ADMIN)
async def export_audit(runtime: RuntimeDep, wanted: FilterDep) -> StreamingResponse:
    """Whole, it can be checked anywhere: `docs/audit.md` says how a hash is made."""
    return StreamingResponse(_lines(runtime, wanted), media_type=_NDJSON)


async def _lines(runtime: Runtime, wanted: AuditFilter) -> AsyncIterator[bytes]:
    async for entries in runtime.audit.portions(wanted):
        yield b"".join(map(line_of, entries))


def _read(entry: AuditEntry) -> AuditEntryRead:
    return AuditEntryRead.model_validate(orjson.loads(line_of(entry)))
