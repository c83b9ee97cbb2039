"""Rows of the registry as what serving works with."""

from typing import Any

from app.artifacts.store import Artifact, ArtifactFile
from app.engine.signature import Signature
from app.models.version import Version
from app.services.metadata import null_policy, score_rule
from app.services.serving_settings import serving_settings
from app.serving.routes import VersionRecord


def record_of(row: Version) -> VersionRecord:
    validation = row.validation or {}
    return VersionRecord(
        id=row.id,
        name=row.name,
        version=row.version,
        status=row.status,
        artifact=artifact_of(row),
        feature_names=tuple(row.feature_names) if row.feature_names else None,
        signature=signature_of(row),
        deterministic=_validated(row, "deterministic"),
        batchable=_validated(row, "batchable"),
        bounded_cost=_validated(row, "bounded_cost"),
        cache_epoch=row.cache_epoch,
        score=score_rule(row.model_metadata),
        nulls=null_policy(row.model_metadata),
        settings=serving_settings(row.model_metadata),
        is_default=row.is_default,
        memory_bytes=validation.get("memory_bytes"),
        labels={
            output: tuple(labels)
            for output, labels in validation.get("class_labels", {}).items()
        },
    )


def _validated(row: Version, fact: str) -> bool:
    """False where it is not so, not known, or from before it was looked for."""
    return bool((row.validation or {}).get(fact))


def artifact_of(row: Version) -> Artifact | None:
    if row.digest is None or row.files is None:
        return None
    return Artifact(row.digest, tuple(ArtifactFile(**file) for file in row.files))


def signature_of(row: Version) -> Signature | None:
    if row.input_schema is None or row.output_schema is None:
        return None
    return Signature.from_json(row.input_schema, row.output_schema)


def artifact_columns(artifact: Artifact) -> dict[str, Any]:
    """The columns of a version that say which file it has."""
    return {
        "digest": artifact.digest,
        "files": [
            {"name": f.name, "size_bytes": f.size_bytes, "sha256": f.sha256}
            for f in artifact.files
        ],
        "file_size_bytes": artifact.model.size_bytes,
        "file_hash": artifact.model.sha256,
    }
