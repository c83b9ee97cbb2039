"""What a run found, as counts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from conformance import element_cases
from conformance.cases import KINDS
from conformance.runner import Result

SHOWN_MISSES = 40


@dataclass(frozen=True, slots=True)
class Count:
    """How many cases went through, and how many came back the same."""

    same: int = 0
    of: int = 0

    @classmethod
    def of_results(cls, results: Iterable[Result], door: str) -> Self:
        misses = [r.misses[door] for r in results if door in r.misses]
        return cls(sum(miss is None for miss in misses), len(misses))


@dataclass(frozen=True, slots=True)
class Report:
    """`kinds`, `elements`: by kind of case, or element type, then by door."""

    versions: dict[str, str]
    collected: dict[str, int]
    reproduced: dict[str, int]
    tensors_only: int
    doors: dict[str, Count]
    kinds: dict[str, dict[str, Count]]
    elements: dict[str, dict[str, Count]]

    @classmethod
    def of_run(
        cls,
        results: Sequence[Result],
        doors: Sequence[str],
        *,
        collected: dict[str, int],
        versions: dict[str, str],
    ) -> Self:
        kinds = list(dict.fromkeys(result.kind for result in results))
        elements = sorted({name for result in results for name in result.elements})
        onnx = [result for result in results if result.kind in KINDS]
        return cls(
            versions,
            collected,
            {kind: sum(r.kind == kind for r in results) for kind in kinds},
            sum(r.tensors_only for r in onnx),
            {door: Count.of_results(onnx, door) for door in doors},
            {
                kind: _by_door([r for r in results if r.kind == kind], doors)
                for kind in kinds
            },
            {
                name: _by_door([r for r in results if name in r.elements], doors)
                for name in elements
            },
        )

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, file: Path) -> Self:
        data = json.loads(file.read_text())
        data["doors"] = _counts(data["doors"])
        for table in ("kinds", "elements"):
            data[table] = {key: _counts(row) for key, row in data[table].items()}
        return cls(**data)


def summary(report: Report, results: Sequence[Result]) -> str:
    """For a terminal: counts, then what was missed."""
    collected = sum(report.collected.get(kind, 0) for kind in KINDS)
    reproduced = sum(report.reproduced.get(kind, 0) for kind in KINDS)
    lines = [
        f"ONNX has {collected} cases; ONNX Runtime reproduces {reproduced}, "
        f"{report.tensors_only} of them with tensors only"
    ]
    for door, count in report.doors.items():
        lines.append(f"  {door:<14}{count.same:>6} of {count.of} the same")
    for door, count in report.kinds.get(element_cases.KIND, {}).items():
        lines.append(f"  {door:<14}{count.same:>6} of {count.of} element types")
    missed = [
        f"MISS {result.name} through {door}: {miss}"
        for result in results
        for door, miss in result.misses.items()
        if miss is not None
    ]
    return "\n".join([*lines, *missed[:SHOWN_MISSES], f"{len(missed)} misses", ""])


def _by_door(results: Sequence[Result], doors: Sequence[str]) -> dict[str, Count]:
    return {door: Count.of_results(results, door) for door in doors}


def _counts(row: dict[str, dict[str, int]]) -> dict[str, Count]:
    return {door: Count(**count) for door, count in row.items()}
