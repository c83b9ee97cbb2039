"""API keys over HTTP, for administrators."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from app.api.access import needs
from app.api.deps import RuntimeDep
from app.api.json_only import JSONRoute
from app.api.openapi import error_responses
from app.auth.limits import LIMIT_NAMES, KeyLimits
from app.enums import Scope
from app.models.api_key import ApiKey
from app.models.base import utc_now
from app.schemas.api_keys import (
    KeyCreate,
    KeyLimitsSet,
    KeyList,
    KeyMade,
    KeyRead,
    KeyRotate,
)
from app.services.api_keys import MadeKey, NewKey, limits_of, status_of

router = APIRouter(prefix="/api/v1/keys", tags=["keys"], route_class=JSONRoute)

# Whatever lies between must not keep what is shown once.
_NOT_KEPT = {"Cache-Control": "no-store"}


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Make an API key",
    responses=error_responses(400, 413, 415, 422, 503),
)
@needs(Scope.ADMIN)
async def create_key(
    body: KeyCreate, runtime: RuntimeDep, response: Response
) -> KeyMade:
    """`key` is shown this once: MLForge keeps a hash of it."""
    days = body.expires_in_days
    new = NewKey(
        body.name,
        frozenset(body.scopes),
        body.model_pattern,
        None if days is None else timedelta(days=days),
        KeyLimits(**body.model_dump(include=set(LIMIT_NAMES))),
    )
    return _made(await runtime.identity.keys.create(new), response)


@router.get(
    "", summary="List API keys, newest first", responses=error_responses(422, 503)
)
@needs(Scope.ADMIN)
async def list_keys(
    runtime: RuntimeDep,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
) -> KeyList:
    """Revoked ones too."""
    found = await runtime.identity.keys.list_keys(page=page, page_size=page_size)
    return KeyList(
        items=[_read(row) for row in found.items],
        total=found.total,
        page=page,
        page_size=page_size,
        total_pages=-(-found.total // page_size),
    )


@router.get("/{key_id}", summary="Get an API key", responses=error_responses(404, 503))
@needs(Scope.ADMIN)
async def get_key(key_id: str, runtime: RuntimeDep) -> KeyRead:
    """What is known of it; never the key itself."""
    return _read(await runtime.identity.keys.get(key_id))


@router.patch(
    "/{key_id}",
    summary="Set the limits of an API key",
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
)
@needs(Scope.ADMIN)
async def patch_key(key_id: str, body: KeyLimitsSet, runtime: RuntimeDep) -> KeyRead:
    """What is left out stays. Here they hold from now on, elsewhere within a second."""
    limits = body.model_dump(include=body.model_fields_set)
    return _read(await runtime.identity.keys.set_limits(key_id, limits))


@router.post(
    "/{key_id}/rotate",
    status_code=status.HTTP_201_CREATED,
    summary="Make a key that takes another's place",
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
)
@needs(Scope.ADMIN)
async def rotate_key(
    key_id: str,
    runtime: RuntimeDep,
    response: Response,
    body: KeyRotate | None = None,
) -> KeyMade:
    """With the same rights and as long a life. The old key stays valid for a while,
    so that whoever holds it can change over."""
    overlap = timedelta(hours=(body or KeyRotate()).overlap_hours)
    return _made(await runtime.identity.keys.rotate(key_id, overlap=overlap), response)


@router.delete(
    "/{key_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    summary="Revoke an API key",
    responses=error_responses(404, 409, 422, 503),
)
@needs(Scope.ADMIN)
async def revoke_key(
    key_id: str,
    runtime: RuntimeDep,
    force: Annotated[bool, Query(description="Even the last valid admin key.")] = False,
) -> None:
    """Here it is refused from now on, by every other process within a second."""
    await runtime.identity.keys.revoke(key_id, force=force)


def _made(made: MadeKey, response: Response) -> KeyMade:
    response.headers.update(_NOT_KEPT)
    response.headers["Location"] = f"{router.prefix}/{made.row.id}"
    return KeyMade(**_read(made.row).model_dump(), key=made.token)


def _read(row: ApiKey) -> KeyRead:
    return KeyRead(
        id=row.id,
        name=row.name,
        scopes=[Scope(scope) for scope in row.scopes],
        model_pattern=row.model_pattern,
        status=status_of(row, utc_now()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        successor=row.successor,
        **asdict(limits_of(row)),
    )
