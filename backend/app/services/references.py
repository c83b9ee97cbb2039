"""From a reference to a row, by the same rules as the routing table."""

from typing import NoReturn

from app.crud import aliases, models, versions
from app.crud.versions import VersionHead
from app.database import ReadSession
from app.enums import VersionStatus
from app.errors import InvalidField
from app.kit.refs import BadRef, Id, NameAlias, NameVersion, parse_ref
from app.models.model import Model
from app.models.version import Version
from app.serving.routes import PRODUCTION, alias_missing, model_missing


async def get_version(db: ReadSession, ref: str) -> Version:
    """The version `ref` names, whatever its status.

    A bare name means its alias `production`, else its highest ready version, else
    its highest one. Raises InvalidField, ModelNotFound or AliasNotFound.
    """
    try:
        parsed = parse_ref(ref)
    except BadRef as exc:
        raise InvalidField(str(exc)) from None
    if isinstance(parsed, Id):
        row = await versions.find_version(db, parsed.id)
        return row or _missing(f"no model has the id {parsed.id}")
    if isinstance(parsed, NameVersion):
        return await get_named(db, parsed.name, parsed.version)
    model = await get_model(db, parsed.name)
    alias = parsed.alias if isinstance(parsed, NameAlias) else PRODUCTION
    aliased = await aliases.find_alias(db, model.id, alias)
    if aliased is not None:
        return await _by_id(db, aliased.version_id)
    if isinstance(parsed, NameAlias):
        raise alias_missing(parsed.name, alias)
    return await _get_serving(db, model)


async def get_named(db: ReadSession, name: str, version: str) -> Version:
    row = await versions.find_named(db, name, version)
    if row is None:
        await get_model(db, name)
        raise model_missing(f'"{name}" has no version "{version}"')
    return row


async def get_model(db: ReadSession, name: str) -> Model:
    model = await models.find_model(db, name)
    return model or _missing(f'no model is named "{name}"')


async def get_highest(db: ReadSession, model: Model, *, ready_only: bool) -> Version:
    """The highest version, or the highest that is ready."""
    heads = await versions.heads_of(db, model.id)
    able = [head for head in heads if not ready_only or _is_ready(head)]
    if not heads:
        raise model_missing(f'no model is named "{model.name}"')
    if not able:
        raise model_missing(f'"{model.name}" has no ready version')
    return await _by_id(db, able[0].id)


async def _get_serving(db: ReadSession, model: Model) -> Version:
    """What serves without an alias, else the highest of any status."""
    heads = await versions.heads_of(db, model.id)
    ready = [head for head in heads if _is_ready(head)]
    if not heads:
        raise model_missing(f'no model is named "{model.name}"')
    return await _by_id(db, (ready or heads)[0].id)


def _is_ready(head: VersionHead) -> bool:
    return head.status is VersionStatus.READY


async def _by_id(db: ReadSession, version_id: str) -> Version:
    row = await versions.find_version(db, version_id)
    return row or _missing(f"no model has the id {version_id}")


def _missing(what: str) -> NoReturn:
    raise model_missing(what)
