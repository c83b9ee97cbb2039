"""What validation finds out about a model, and how the child tells its parent."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.engine.signature import Signature


@dataclass(frozen=True, slots=True)
class InspectionOrder:
    """What the child is told."""

    directory: Path
    parent_pid: int
    memory_bytes: int
    cpu_s: int
    first_run_limit_s: float
    run_limit_s: float

    def as_json(self) -> dict[str, Any]:
        return {
            "directory": str(self.directory),
            "parent_pid": self.parent_pid,
            "memory_bytes": self.memory_bytes,
            "cpu_s": self.cpu_s,
            "first_run_limit_s": self.first_run_limit_s,
            "run_limit_s": self.run_limit_s,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "directory": Path(data["directory"])})


@dataclass(frozen=True, slots=True)
class Inspection:
    """`metadata` is the file's own metadata_props; `report` becomes `validation`."""

    signature: Signature
    metadata: dict[str, str]
    report: dict[str, Any]
    feature_names: tuple[str, ...] | None

    def as_json(self) -> dict[str, Any]:
        return {
            "inputs": [spec.as_json() for spec in self.signature.inputs],
            "outputs": [spec.as_json() for spec in self.signature.outputs],
            "metadata": self.metadata,
            "report": self.report,
            "feature_names": self.feature_names,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        names = data["feature_names"]
        return cls(
            Signature.from_json(data["inputs"], data["outputs"]),
            data["metadata"],
            data["report"],
            None if names is None else tuple(names),
        )
