"""What validation finds out about a model, and how the child tells its parent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.engine.signature import Signature


@dataclass(frozen=True, slots=True)
class InspectionOrder:
    """What the child is told."""

    directory: Path
    memory_bytes: int
    cpu_s: int
    first_run_limit_s: float
    run_limit_s: float
    domains: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "directory": str(self.directory),
            "memory_bytes": self.memory_bytes,
            "cpu_s": self.cpu_s,
            "first_run_limit_s": self.first_run_limit_s,
            "run_limit_s": self.run_limit_s,
            "domains": self.domains,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        directory, domains = Path(data["directory"]), tuple(data["domains"])
        return cls(**{**data, "directory": directory, "domains": domains})


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
            dict(data["metadata"]),
            dict(data["report"]),
            None if names is None else tuple(names),
        )


class NotUnderstood(Exception):
    """The child said what it never says of itself: the model has taken it over."""


def read_answer(line: bytes) -> dict[str, Any]:
    """One thing that the child said. NotUnderstood where it is no such thing."""
    try:
        answer = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NotUnderstood from error
    if not isinstance(answer, dict):
        raise NotUnderstood
    return answer


def read_inspection(data: Any) -> Inspection:
    """NotUnderstood where `data` is none."""
    try:
        return Inspection.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotUnderstood from error


def _refuse(constant: str) -> None:
    raise ValueError(constant)
