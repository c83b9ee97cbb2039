"""Writes an exported model with the facts and sample inputs that tests need."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

BACKEND = Path(__file__).resolve().parents[2]
EXPORTS = BACKEND / "tests" / "data" / "exports"

INNERMOST_LIST = re.compile(r"\[[^\[\]{}]*\]")

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Record:
    """What is written beside a model file.

    `expected` holds the library's own predictions for `inputs`, by output name;
    writing fails where the exported file does not give them too.
    """

    name: str
    description: str
    libraries: tuple[str, ...]
    data: str
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]
    feature_names: tuple[str, ...] | None = None
    companions: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return EXPORTS / f"{self.name}.onnx"


def write_model(model: onnx.ModelProto, record: Record) -> None:
    """Writes the model as one file, and its record."""
    record.path.write_bytes(model.SerializeToString(deterministic=True))
    write_record(record)


def write_record(record: Record) -> None:
    """Writes `<name>.json` for a model file that is already there."""
    session = onnxruntime.InferenceSession(
        str(record.path), providers=["CPUExecutionProvider"]
    )
    check(session, record)
    document = {
        "name": record.name,
        "description": record.description,
        "data": record.data,
        "versions": {name: version(name) for name in record.libraries},
        "companions": list(record.companions),
        "feature_names": record.feature_names,
        "outputs": {output.name: output.type for output in session.get_outputs()},
        "dtypes": {name: dtype_name(array) for name, array in record.inputs.items()},
        "inputs": {name: plain(array) for name, array in record.inputs.items()},
    }
    write_json(record.path.with_suffix(".json"), document)


def check(session: onnxruntime.InferenceSession, record: Record) -> None:
    """Raises ValueError where ONNX Runtime does not give the library's answers."""
    names = [output.name for output in session.get_outputs()]
    given = dict(zip(names, session.run(None, dict(record.inputs)), strict=True))
    for name, expected in record.expected.items():
        if not same(np.asarray(given[name]), expected):
            raise ValueError(f"{record.name}: output {name} is not the library's")


def same(given: Array, expected: Array) -> bool:
    if given.shape != expected.shape:
        return False
    if expected.dtype.kind == "f":
        return np.allclose(given, expected, rtol=1e-4, atol=1e-5)
    return bool((given == expected).all())


def dtype_name(array: Array) -> str:
    return "string" if array.dtype == object else array.dtype.name


def plain(value: Any) -> Any:
    """Nested lists, each float in the fewest digits that give it back."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def write_json(path: Path, document: Mapping[str, object]) -> None:
    text = json.dumps(document, indent=1, ensure_ascii=False)
    path.write_text(INNERMOST_LIST.sub(one_line, text) + "\n", encoding="utf-8")


def one_line(found: re.Match[str]) -> str:
    return " ".join(found[0].split())
