"""Which models a caller sees: for a key with a pattern, the others don't exist."""

from app.auth.principal import Principal
from app.database import Database
from app.errors import Forbidden, MLForgeError, NoDefaultModel
from app.kit.refs import BadRef, Id, parse_ref
from app.services.references import get_version
from app.serving.routes import Routes, VersionRecord, model_missing


class Sight:
    """Every check does nothing for callers that see all models."""

    def __init__(self, database: Database, routes: Routes) -> None:
        self._database = database
        self._routes = routes

    async def check_ref(self, caller: Principal, ref: str) -> None:
        """Raises what a model that does not exist would."""
        if caller.pattern is None:
            return
        try:
            parsed = parse_ref(ref)
        except BadRef:
            return  # It names no model; the call itself says what is wrong.
        if not isinstance(parsed, Id):
            if not caller.sees(parsed.name):
                raise model_missing(f'no model is named "{parsed.name}"')
        elif not caller.sees(await self._named(parsed.id)):
            raise model_missing(f"no model has the id {parsed.id}")

    def check_new(self, caller: Principal, name: str) -> None:
        """Before a model of that name is made. Raises Forbidden."""
        if not caller.sees(name):
            raise Forbidden(
                f'The API key {caller.key_id} is for models named like "{caller.pattern}"'
                f' only: choose such a name in place of "{name[:128]}".'
            )

    def default(self, caller: Principal) -> VersionRecord:
        """Of a caller with a pattern; raises NoDefaultModel where it can't be used."""
        try:
            record = self._routes.default()
        except MLForgeError:
            raise _no_default(caller) from None
        if not caller.sees(record.name):
            raise _no_default(caller)
        return record

    async def _named(self, version_id: str) -> str:
        record = self._routes.by_id(version_id)
        if record is not None:
            return record.name
        async with self._database.reading() as db:
            return (await get_version(db, version_id)).name


def _no_default(caller: Principal) -> NoDefaultModel:
    return NoDefaultModel(
        f"The API key {caller.key_id} may use no default model: name one with "
        "POST /api/v1/models/{ref}/predict."
    )
