"""The Open Inference Protocol's model repository: index, load and unload.

Unloading archives versions and loading brings them back, so that both last and
reach every process; a load also has this process's session ready.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from app.artifacts.store import MODEL_FILE, ArtifactStore
from app.enums import VersionStatus
from app.errors import InvalidRequest, VersionExists
from app.services.fields import NewVersion, VersionPatch
from app.services.registry import Registry
from app.serving.routes import ModelRoutes, Routes, VersionRecord, why_not_ready

_FILE: Final = "file:"
_VERSION: Final = "version"
_CONFIG: Final = "config"
_UNLOAD_DEPENDENTS: Final = "unload_dependents"
_COMMITTED: Final = (VersionStatus.READY, VersionStatus.ARCHIVED)

Loader = Callable[[VersionRecord], Awaitable[object]]
# A protocol's parameter: bytes for files, as they are or in base64's place.
RepositoryParameter = str | int | bool | bytes


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """`reason` says what keeps a version from being ready."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """`files` are graphs and their companions by version, then by file name."""

    version: str | None = None
    files: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


class Repository:
    """`catch_up` routes what other processes changed: orders go by what is so now."""

    def __init__(
        self,
        registry: Registry,
        store: ArtifactStore,
        routes: Routes,
        load: Loader,
        *,
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._catch_up = catch_up
        self._registry = registry
        self._store = store
        self._routes = routes
        self._load = load

    def index(self, *, ready: bool = False) -> list[IndexEntry]:
        """Every version there is, or every one that is ready."""
        return [
            _entry(record)
            for name in self._routes.names()
            for record in self._routes.model(name).versions
            if record.is_ready or not ready
        ]

    async def load(self, name: str, order: LoadOrder) -> None:
        """Puts in the files that come along; else brings back a version, the highest
        where none is named. Its session is loaded when this returns."""
        await self._catch_up()
        if order.files:
            for version, files in order.files.items():
                await self._put(name, version, files)
            versions = list(order.files)
        else:
            versions = [await self._bring_back(name, order.version)]
        for version in versions:
            await self._load(self._routes.resolve_version(name, version))

    async def unload(self, name: str, version: str | None = None) -> None:
        """Archives that version, or all that are ready; nothing to do is no error."""
        await self._catch_up()
        if version is not None:
            found: Sequence[VersionRecord] = [self._routes.find_version(name, version)]
        else:
            found = self._routes.model(name).versions
        for record in found:
            if record.is_ready or version is not None:
                await self._set(record, VersionStatus.ARCHIVED)

    async def _bring_back(self, name: str, version: str | None) -> str:
        model = self._routes.model(name)
        if version is not None:
            record = self._routes.find_version(name, version)
        else:
            record = _meant(model)
        await self._set(record, VersionStatus.READY)
        return record.version

    async def _set(self, record: VersionRecord, status: VersionStatus) -> None:
        if record.status is not status:
            await self._registry.patch(record.id, VersionPatch(status=status))

    async def _put(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        new = NewVersion(name=name, version=version)
        async with self._store.stage() as staging:
            for file_name, data in files.items():
                await staging.add(_stored_name(file_name, files), _chunks(data))
            try:
                await self._registry.upload_whole(staging, new)
            except VersionExists:
                raise VersionExists(
                    f"{name}:{version} exists already and a version's files never "
                    'change: name the files "file:<another version>/model.onnx".'
                ) from None
        # It may have been there, unloaded, with the same files.
        await self._set(self._routes.find_version(name, version), VersionStatus.READY)


def load_order(parameters: Mapping[str, RepositoryParameter]) -> LoadOrder:
    """From a load's parameters, files already as bytes: `version`, `config` and
    `file:<version>/<name>`. Raises InvalidRequest."""
    files: dict[str, dict[str, bytes]] = {}
    for name, value in parameters.items():
        if name.startswith(_FILE):
            version, _, file_name = name.removeprefix(_FILE).partition("/")
            if not version or not file_name or not isinstance(value, bytes):
                raise InvalidRequest(
                    f'the parameter "{name[:200]}" must be named '
                    "file:<version>/<file name> and hold the file."
                )
            files.setdefault(version, {})[file_name] = value
        elif name == _CONFIG:
            _check_config(value)
        elif name != _VERSION:
            raise _unknown(name, "version, config and file:<version>/<file name>")
    if files and _CONFIG not in parameters:
        raise InvalidRequest("files come with the parameter config, such as {}.")
    return LoadOrder(_version(parameters), files)


def unload_version(parameters: Mapping[str, RepositoryParameter]) -> str | None:
    """The version that an unload's parameters name. Raises InvalidRequest."""
    for name in parameters:
        if name not in (_VERSION, _UNLOAD_DEPENDENTS):
            raise _unknown(name, f"{_VERSION} and {_UNLOAD_DEPENDENTS}")
    if not isinstance(parameters.get(_UNLOAD_DEPENDENTS, False), bool):
        raise InvalidRequest(f"{_UNLOAD_DEPENDENTS} must be true or false.")
    return _version(parameters)


def _version(parameters: Mapping[str, RepositoryParameter]) -> str | None:
    version = parameters.get(_VERSION)
    if version is None or version == "":
        return None
    if isinstance(version, bool) or not isinstance(version, str | int):
        raise InvalidRequest("the parameter version must be a string.")
    return str(version)


def _check_config(config: RepositoryParameter) -> None:
    """It has to be a configuration, but an ONNX file says all that is in one."""
    try:
        parsed = orjson.loads(config) if isinstance(config, str) else None
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidRequest("the parameter config must be a JSON object in a string.")


def _unknown(name: str, known: str) -> InvalidRequest:
    return InvalidRequest(f'the parameter "{name[:200]}" is unknown; use {known}.')


def _stored_name(file_name: str, files: Mapping[str, bytes]) -> str:
    """The graph is the only ONNX file there is, whatever its name."""
    graphs = [name for name in files if name.endswith(".onnx")]
    if MODEL_FILE not in files and len(graphs) != 1:
        raise InvalidRequest(
            f'a version needs the file "{MODEL_FILE}", or one file that ends in .onnx.'
        )
    is_graph = MODEL_FILE not in files and file_name == graphs[0]
    return MODEL_FILE if is_graph else file_name


def _entry(record: VersionRecord) -> IndexEntry:
    if record.is_ready:
        return IndexEntry(record.name, record.version, "READY", "")
    is_coming = record.status is VersionStatus.VALIDATING
    state = "LOADING" if is_coming else "UNAVAILABLE"
    is_unloaded = record.status is VersionStatus.ARCHIVED
    reason = "unloaded" if is_unloaded else why_not_ready(record)
    return IndexEntry(record.name, record.version, state, reason)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _meant(model: ModelRoutes) -> VersionRecord:
    """What the bare name means; where that never was ready, the highest that was."""
    serving = model.serving()
    if serving is not None and serving.status in _COMMITTED:
        return serving
    able = (v for v in model.versions if v.status in _COMMITTED)
    return next(able, model.versions[0])
