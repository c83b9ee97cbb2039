"""Writes docs/CONFORMANCE.md from the counts of the last full run, or checks it.

python -m conformance.page [--check]
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from app.engine.tensors import BY_NAME, ELEMENT_TYPES
from conformance.cases import KINDS
from conformance.doors import word_of
from conformance.report import Count, Report

BACKEND = Path(__file__).resolve().parents[1]
RESULTS = BACKEND / "conformance" / "results.json"
PAGE = BACKEND.parent / "docs" / "CONFORMANCE.md"

_TEXT = """\
# Conformance

Made by `python -m conformance.page` from `backend/conformance/results.json`, the counts
of the last full run: MLForge {mlforge}, ONNX {onnx}, ONNX Runtime {onnxruntime}.

```bash
cd backend
../.venv/bin/python -m conformance --url http://127.0.0.1:8000 --grpc 127.0.0.1:8001 \\
    --out conformance/results.json
../.venv/bin/python -m conformance.page
```

The command uploads the models of the ONNX project's own backend test cases (they come
with the `onnx` package) to a running server, sends their inputs through each door and
compares values, dtypes and shapes with those of ONNX Runtime called directly, bit by
bit; one NaN is like another. Only cases that ONNX Runtime on the CPU loads and
reproduces count. It ends with 1 if one answer differs. A sample of the cases is part of
`make test`.

## ONNX's cases

{cases}

{others} of the cases have sequences, optionals or maps; they go through `/api/v1`, where
these are JSON lists, null and objects. Over `/v2` and gRPC a tensor stands for them.

## Element types

Answers that came back the same, of all cases in which the type flows in or out: ONNX's
and one of our own for each type, with its edges (NaN, infinities, -0.0, subnormals, the
largest and smallest, every number of the small ones; strings that are no UTF-8), rank 0,
zero-size dimensions and 10 dimensions.

{elements}

Types in brackets have no word in the protocol: MLForge takes and gives them under that
name, one byte to the element in binary. A dash: ONNX Runtime on the CPU runs no case of it.

## What JSON can't say

- NaN and infinities are the strings `"NaN"`, `"Infinity"`, `"-Infinity"`.
- Bytes that are no UTF-8 are `{{"b64": "…"}}`.
- Nested lists lose what follows a dimension of 0: `[]` may be `[0]` or `[0, 4]`. In
  `/api/v1` requests such a tensor may come as `{{"shape": [0, 4], "data": []}}`; an empty
  list also takes the model's own dimensions. Answers hold nested lists all the same, and
  `output_shapes` names the shapes that these can't say. `/v2` always says the shape.
"""


def page(report: Report) -> str:
    doors = list(report.doors)
    return _TEXT.format(
        **report.versions,
        cases=_cases(report, doors),
        others=sum(report.reproduced[kind] for kind in _onnx_kinds(report))
        - report.tensors_only,
        elements=_elements(report, doors),
    )


def _onnx_kinds(report: Report) -> list[str]:
    return [kind for kind in KINDS if kind in report.reproduced]


def _cases(report: Report, doors: Sequence[str]) -> str:
    rows = [
        [
            kind,
            f"{report.collected[kind]:,}",
            f"{report.reproduced[kind]:,}",
            *_cells(report.kinds[kind], doors),
        ]
        for kind in _onnx_kinds(report)
    ]
    collected = sum(report.collected[kind] for kind in _onnx_kinds(report))
    reproduced = sum(report.reproduced[kind] for kind in _onnx_kinds(report))
    total = ["**all**", f"{collected:,}", f"{reproduced:,}"]
    rows.append([*total, *_cells(report.doors, doors)])
    return _table(["cases", "in ONNX", "reproduced by ONNX Runtime", *doors], rows)


def _elements(report: Report, doors: Sequence[str]) -> str:
    rows = []
    for element in ELEMENT_TYPES:
        word = word_of(BY_NAME[element.name])
        counts = report.elements.get(element.name, {})
        shown = word if element.oip else f"({word})"
        rows.append([element.name, shown, *_cells(counts, doors)])
    return _table(["type", "in the protocol", *doors], rows)


def _cells(counts: Mapping[str, Count], doors: Iterable[str]) -> list[str]:
    return [_cell(counts.get(door, Count())) for door in doors]


def _cell(count: Count) -> str:
    return f"{count.same:,} of {count.of:,}" if count.of else "-"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="conformance.page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    text = page(Report.read(RESULTS))
    if not options.check:
        PAGE.write_text(text)
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    sys.stderr.write(f"{PAGE.name} is stale: python -m conformance.page\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
