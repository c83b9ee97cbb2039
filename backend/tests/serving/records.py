"""Versions as the routing table holds them."""

from app.artifacts.store import Artifact, ArtifactFile
from app.enums import VersionStatus
from app.serving.routes import VersionRecord
from app.serving.settings import DEFAULT_SETTINGS, ServingSettings


def record(
    *, bounded_cost: bool = True, settings: ServingSettings = DEFAULT_SETTINGS
) -> VersionRecord:
    return VersionRecord(
        id="11111111-1111-4111-8111-111111111111",
        name="expanded",
        version="1.0.0",
        status=VersionStatus.READY,
        artifact=Artifact("digest", (ArtifactFile("model.onnx", 1, "digest"),)),
        feature_names=None,
        signature=None,
        deterministic=True,
        batchable=True,
        bounded_cost=bounded_cost,
        cache_epoch=0,
        score=None,
        is_default=False,
        settings=settings,
    )
