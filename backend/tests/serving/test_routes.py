"""The routing table: what references resolve to, and what they say when not."""

from dataclasses import replace

import pytest

from app.artifacts.store import MODEL_FILE, Artifact, ArtifactFile
from app.enums import VersionStatus
from app.errors import (
    AliasNotFound,
    InvalidField,
    ModelNotFound,
    ModelNotReady,
    NoDefaultModel,
)
from app.serving.routes import ModelRoutes, Routes, VersionRecord

UUIDS = {n: f"00000000-0000-4000-8000-{n:012x}" for n in range(20)}


def _version(
    number: int,
    version: str,
    status: VersionStatus = VersionStatus.READY,
    *,
    name: str = "iris",
    digest: str = "",
    is_default: bool = False,
) -> VersionRecord:
    digest = digest or f"digest-{number}"
    return VersionRecord(
        id=UUIDS[number],
        name=name,
        version=version,
        status=status,
        artifact=Artifact(digest, (ArtifactFile(MODEL_FILE, 1, digest),)),
        feature_names=None,
        signature=None,
        deterministic=True,
        batchable=True,
        bounded_cost=True,
        cache_epoch=0,
        score=None,
        is_default=is_default,
    )


def _model(*versions: VersionRecord, **aliases: int) -> ModelRoutes:
    pointed = {alias: UUIDS[number] for alias, number in aliases.items()}
    return ModelRoutes(versions[0].name, versions, pointed)


def _routes(*models: ModelRoutes) -> Routes:
    routes = Routes()
    routes.replace({model.name: model for model in models})
    return routes


def test_all_four_forms_resolve() -> None:
    two, one = _version(2, "2.0.0"), _version(1, "1.0.0")
    routes = _routes(_model(two, one, canary=1))
    assert routes.resolve("iris") is two
    assert routes.resolve("iris:1.0.0") is one
    assert routes.resolve("iris@canary") is one
    assert routes.resolve(one.id) is one
    assert routes.resolve(two.id.upper()) is two


def test_a_bare_name_prefers_the_alias_production() -> None:
    routes = _routes(_model(_version(2, "2.0.0"), _version(1, "1.0.0"), production=1))
    assert routes.resolve("iris").version == "1.0.0"


def test_a_bare_name_passes_over_versions_that_are_not_ready() -> None:
    pending = _version(2, "2.0.0", VersionStatus.PENDING)
    routes = _routes(_model(pending, _version(1, "1.0.0")))
    assert routes.resolve("iris").version == "1.0.0"


def test_production_on_an_archived_version_does_not_fall_back() -> None:
    archived = _version(1, "1.0.0", VersionStatus.ARCHIVED)
    routes = _routes(_model(_version(2, "2.0.0"), archived, production=1))
    with pytest.raises(ModelNotReady, match=r"iris:1\.0\.0 is archived"):
        routes.resolve("iris")


@pytest.mark.parametrize("ref", ["iris", "iris:1.0.0", "iris@canary", UUIDS[1]])
@pytest.mark.parametrize(
    "status", [status for status in VersionStatus if status is not VersionStatus.READY]
)
def test_what_is_not_ready_says_so_and_what_to_do(
    ref: str, status: VersionStatus
) -> None:
    routes = _routes(_model(_version(1, "1.0.0", status), canary=1))
    with pytest.raises(ModelNotReady, match=rf"iris:1\.0\.0 is {status}, not ready: "):
        routes.resolve(ref)


@pytest.mark.parametrize(
    ("ref", "error", "message"),
    [
        ("wine", ModelNotFound, 'no model is named "wine"'),
        ("wine:1.0.0", ModelNotFound, 'no model is named "wine"'),
        ("iris:9.0.0", ModelNotFound, '"iris" has no version "9.0.0"'),
        (UUIDS[9], ModelNotFound, "no model has the id"),
        ("iris@canary", AliasNotFound, '"iris" has no alias "canary"'),
        ("iris:", InvalidField, "is not allowed"),
        ("a b", InvalidField, "is not allowed"),
        ("", InvalidField, "is not allowed"),
    ],
)
def test_what_is_not_there_is_named(
    ref: str, error: type[Exception], message: str
) -> None:
    routes = _routes(_model(_version(1, "1.0.0")))
    with pytest.raises(error, match=message):
        routes.resolve(ref)


def test_a_replaced_model_leaves_nothing_of_its_old_self() -> None:
    routes = _routes(_model(_version(1, "1.0.0"), canary=1))
    routes.replace({"iris": _model(_version(2, "2.0.0"))})
    assert routes.resolve("iris").version == "2.0.0"
    for ref in ("iris:1.0.0", "iris@canary", UUIDS[1]):
        with pytest.raises((ModelNotFound, AliasNotFound)):
            routes.resolve(ref)


def test_a_model_without_versions_is_gone() -> None:
    routes = _routes(_model(_version(1, "1.0.0")))
    routes.replace({"iris": ModelRoutes("iris", (), {})})
    assert routes.names() == []
    with pytest.raises(ModelNotFound):
        routes.resolve("iris")


def test_digests_are_gone_with_their_last_ready_version() -> None:
    first = _version(1, "1.0.0", digest="shared")
    other = _version(2, "1.0.0", name="wine", digest="shared")
    routes = _routes(_model(first), _model(other))
    archived = replace(first, status=VersionStatus.ARCHIVED)
    assert routes.replace({"iris": _model(archived)}) == frozenset()
    assert routes.replace({"wine": None}) == {"shared"}
    assert routes.replace({"iris": None}) == frozenset()


def test_the_default_is_the_marked_version() -> None:
    marked = _version(1, "1.0.0", is_default=True)
    routes = _routes(
        _model(_version(2, "2.0.0"), marked), _model(_version(3, "1", name="wine"))
    )
    assert routes.default() is marked


def test_without_a_mark_the_only_ready_model_is_the_default() -> None:
    pending = _version(3, "1", VersionStatus.PENDING, name="wine")
    routes = _routes(_model(_version(1, "1.0.0")), _model(pending))
    assert routes.default().name == "iris"


def test_several_models_and_no_mark_is_a_conflict_that_says_how_to_choose() -> None:
    routes = _routes(
        _model(_version(1, "1.0.0")), _model(_version(2, "1", name="wine"))
    )
    with pytest.raises(NoDefaultModel, match=r"2 models .*iris, wine.*is_default"):
        routes.default()


def test_no_model_is_a_conflict_that_asks_for_an_upload() -> None:
    with pytest.raises(NoDefaultModel, match="upload one"):
        Routes().default()


def test_the_default_goes_with_its_version() -> None:
    routes = _routes(_model(_version(1, "1.0.0", is_default=True)))
    routes.replace({"iris": None})
    with pytest.raises(NoDefaultModel):
        routes.default()
