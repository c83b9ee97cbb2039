"""The routing table: what a reference resolves to, in memory.

`services.traffic` pushes it in whole, model by model; nothing here reads it from
anywhere. One event loop uses it: a change is one synchronous swap.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from app.artifacts.store import Artifact
from app.codecs.base import NullPolicy, ScoreRule, Target
from app.codecs.dense import Labels
from app.engine.signature import Signature
from app.enums import VersionStatus
from app.errors import (
    AliasNotFound,
    InvalidField,
    ModelNotFound,
    ModelNotReady,
    NoDefaultModel,
)
from app.kit.refs import (
    BadRef,
    Id,
    NameAlias,
    NameVersion,
    Ref,
    check_name,
    check_version,
    parse_ref,
)
from app.serving.settings import DEFAULT_SETTINGS, ServingSettings

PRODUCTION: Final = "production"
_NO_SIGNATURE: Final = Signature((), ())


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One version, as much as serving needs."""

    id: str
    name: str
    version: str
    status: VersionStatus
    artifact: Artifact | None
    feature_names: tuple[str, ...] | None
    signature: Signature | None
    deterministic: bool
    batchable: bool
    # Whether inputs of the same shapes cost the same, whatever their values.
    bounded_cost: bool
    cache_epoch: int
    score: ScoreRule | None
    is_default: bool
    # What validation found: how much a session takes, the class labels of outputs.
    memory_bytes: int | None = None
    labels: Mapping[str, Labels] = field(default_factory=dict, compare=False)
    nulls: NullPolicy | None = None
    settings: ServingSettings = DEFAULT_SETTINGS
    # What the wire forms need, made once: every prediction reads it.
    target: Target = field(init=False, repr=False, compare=False)
    # Its session: others with the same files, loaded the same way, share it.
    session_key: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        target = Target(
            version_id=self.id,
            name=self.name,
            version=self.version,
            signature=self.signature or _NO_SIGNATURE,
            feature_names=self.feature_names,
            score=self.score,
            labels=self.labels,
            nulls=self.nulls,
        )
        object.__setattr__(self, "target", target)
        if self.artifact is not None:
            key = self.artifact.digest + self.settings.loading_key
            object.__setattr__(self, "session_key", key)

    @property
    def is_ready(self) -> bool:
        return self.status is VersionStatus.READY


@dataclass(frozen=True, slots=True)
class ModelRoutes:
    """One model: its versions, highest first, and alias -> version id."""

    name: str
    versions: tuple[VersionRecord, ...]
    aliases: Mapping[str, str]

    def find(self, version: str) -> VersionRecord | None:
        return next((v for v in self.versions if v.version == version), None)

    def aliased(self, alias: str) -> VersionRecord | None:
        version_id = self.aliases.get(alias)
        return next((v for v in self.versions if v.id == version_id), None)

    def serving(self) -> VersionRecord | None:
        """What the bare name means: production, else the highest ready version,
        else (it will not serve) the highest one."""
        return (
            self.aliased(PRODUCTION)
            or next((v for v in self.versions if v.is_ready), None)
            or next(iter(self.versions), None)
        )

    def ready_refs(self) -> Iterator[tuple[str, VersionRecord]]:
        """Every reference of this model that resolves."""
        for record in self.versions:
            yield record.id, record
            yield f"{self.name}:{record.version}", record
        for alias in self.aliases:
            if aliased := self.aliased(alias):
                yield f"{self.name}@{alias}", aliased
        if serving := self.serving():
            yield self.name, serving


class Routes:
    def __init__(self) -> None:
        self._models: Mapping[str, ModelRoutes] = {}
        self._ready: Mapping[str, VersionRecord] = {}
        self._default: VersionRecord | None = None

    def resolve(self, ref: str) -> VersionRecord:
        """The ready version that `ref` names.

        Raises InvalidField, ModelNotFound, AliasNotFound or ModelNotReady.
        """
        record = self._ready.get(ref)
        return record if record is not None else self._look_closer(ref)

    def default(self) -> VersionRecord:
        """The default version, else what the only model there is serves.

        Raises NoDefaultModel or ModelNotReady.
        """
        if self._default is not None:
            return self._default
        able = [name for name, model in self._models.items() if _has_ready(model)]
        if len(able) == 1:
            return self.resolve(able[0])
        raise _no_default(able)

    def resolve_version(self, name: str, version: str | None) -> VersionRecord:
        """The ready version of `name` that has this version or this alias; without
        one, what the bare name means. Raises as `resolve` does."""
        if not version:
            return self.resolve(name)
        ready = self._ready
        record = ready.get(f"{name}:{version}") or ready.get(f"{name}@{version}")
        if record is None:
            record = self.find_version(name, version)
            if not record.is_ready:
                raise _not_ready(record)
        return record

    def find_version(self, name: str, version: str) -> VersionRecord:
        """As `resolve_version`, whatever the status."""
        model = self.model(name)
        try:
            check_version(version)
        except BadRef as exc:
            raise InvalidField(str(exc)) from None
        found = model.find(version) or model.aliased(version)
        return found or _missing(f'"{name}" has no version and no alias "{version}"')

    def model(self, name: str) -> ModelRoutes:
        """All versions of a model. Raises InvalidField or ModelNotFound."""
        try:
            model = self._models.get(check_name(name))
        except BadRef as exc:
            raise InvalidField(str(exc)) from None
        return model or _missing(f'no model is named "{name}"')

    def names(self) -> list[str]:
        return sorted(self._models)

    def pinned(self) -> list[VersionRecord]:
        """The ready versions that stay loaded, each once."""
        found = {v.id: v for v in self._ready.values() if v.settings.pinned}
        return list(found.values())

    def ready(self) -> Iterator[VersionRecord]:
        """Every version that is served."""
        for model in self._models.values():
            yield from (record for record in model.versions if record.is_ready)

    def by_id(self, version_id: str) -> VersionRecord | None:
        """The version with this id, whatever its status."""
        everything = (v for m in self._models.values() for v in m.versions)
        return self._ready.get(version_id) or next(
            (v for v in everything if v.id == version_id), None
        )

    def replace(self, names: Mapping[str, ModelRoutes | None]) -> frozenset[str]:
        """Puts models in, or out where None; gives the keys of sessions that nothing
        is served by any more."""
        models, ready = dict(self._models), dict(self._ready)
        gone: set[str] = set()
        for name, model in names.items():
            old = models.pop(name, None)
            for ref, record in old.ready_refs() if old else ():
                ready.pop(ref, None)
                gone |= _session_keys(record)
            if model is not None and model.versions:
                models[name] = model
                ready.update((ref, v) for ref, v in model.ready_refs() if v.is_ready)
        self._models, self._ready = models, ready
        self._default = next((v for v in ready.values() if v.is_default), None)
        if gone:
            gone -= set().union(*map(_session_keys, ready.values()))
        return frozenset(gone)

    def _look_closer(self, ref: str) -> VersionRecord:
        """A UUID in capitals resolves after all; for the rest, says why not."""
        try:
            parsed = parse_ref(ref)
        except BadRef as exc:
            raise InvalidField(str(exc)) from None
        record = self._find(parsed)
        if not record.is_ready:
            raise _not_ready(record)
        return record

    def _find(self, ref: Ref) -> VersionRecord:
        if isinstance(ref, Id):
            return self.by_id(ref.id) or _missing(f"no model has the id {ref.id}")
        model = self._models.get(ref.name)
        if model is None:
            _missing(f'no model is named "{ref.name}"')
        if isinstance(ref, NameVersion):
            found = model.find(ref.version)
            return found or _missing(f'"{ref.name}" has no version "{ref.version}"')
        if isinstance(ref, NameAlias):
            found = model.aliased(ref.alias)
            if found is None:
                raise alias_missing(ref.name, ref.alias)
            return found
        return model.serving() or _missing(f'"{ref.name}" has no version')


def model_missing(what: str) -> ModelNotFound:
    return ModelNotFound(f"{what}; GET /api/v1/models lists what there is")


def alias_missing(name: str, alias: str) -> AliasNotFound:
    return AliasNotFound(
        f'"{name}" has no alias "{alias}"; set one with '
        f"PUT /api/v1/models/by-name/{name}/aliases/{alias}"
    )


def _missing(what: str) -> NoReturn:
    raise model_missing(what)


def _has_ready(model: ModelRoutes) -> bool:
    return any(record.is_ready for record in model.versions)


def _session_keys(record: VersionRecord) -> frozenset[str]:
    if record.artifact is None or not record.is_ready:
        return frozenset()
    return frozenset({record.session_key})


def why_not_ready(record: VersionRecord) -> str:
    return f"{record.status.value}: {_NEXT_STEP[record.status]}"


_NEXT_STEP = {
    VersionStatus.PENDING: "upload its file and validate it first",
    VersionStatus.UPLOADED: "validate it first",
    VersionStatus.VALIDATING: "wait until its validation has ended",
    VersionStatus.ERROR: "its file is no valid model: upload another one",
    VersionStatus.ARCHIVED: 'bring it back with PATCH {"status": "ready"}',
}


def _not_ready(record: VersionRecord) -> ModelNotReady:
    return ModelNotReady(
        f"{record.name}:{record.version} is {record.status.value}, not ready: "
        f"{_NEXT_STEP[record.status]}"
    )


def _no_default(able: list[str]) -> NoDefaultModel:
    if not able:
        return NoDefaultModel("there is no ready model: upload one first")
    shown = ", ".join(sorted(able)[:5]) + (", …" if len(able) > 5 else "")
    return NoDefaultModel(
        f"{len(able)} models are ready ({shown}) and none is the default: choose one "
        'with PATCH /api/v1/models/{ref} {"is_default": true}'
    )
