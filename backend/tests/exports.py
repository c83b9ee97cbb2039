"""The models that real libraries exported, with sample inputs and a plain run.

What they are and how they were made: `tests/data/exports/README.md`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Here too, so that this file can be imported before anything of the package.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

FOLDER = Path(__file__).parent / "data" / "exports"

Array = np.ndarray[Any, np.dtype[Any]]
Scalar = str | int | float
Nested = list[Any]  # Lists of lists of scalars, as deep as the tensor's rank.


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """How a model was made: `outputs` maps names to ONNX Runtime's types."""

    description: str
    data: str
    versions: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Export:
    """One exported model and 3 to 5 sample rows, as JSON and as arrays."""

    name: str
    path: Path
    companions: tuple[Path, ...]
    feature_names: tuple[str, ...] | None
    input_data: Mapping[str, Nested]
    inputs: Mapping[str, Array]
    info: ExportInfo

    def __str__(self) -> str:
        return self.name

    def direct_run(self, inputs: Mapping[str, Array] | None = None) -> dict[str, Any]:
        """Every output by name as ONNX Runtime gives it: an array, or a list of
        maps or arrays. Runs the samples where no inputs are given."""
        session = self.session()
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, dict(self.inputs if inputs is None else inputs))
        return dict(zip(names, values, strict=True))

    def session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )

    def rows(self) -> list[dict[str, Scalar]]:
        """The samples by feature name; none for a model that rows do not fit."""
        if self.feature_names:
            (table,) = self.input_data.values()
            return [dict(zip(self.feature_names, row, strict=True)) for row in table]
        if any(array.shape[1:] != (1,) for array in self.inputs.values()):
            return []
        columns = [[row[0] for row in table] for table in self.input_data.values()]
        return [
            dict(zip(self.input_data, values, strict=True))
            for values in zip(*columns, strict=True)
        ]


def load_exports() -> list[Export]:
    """Every export, by name. Reads their JSON only; `direct_run` loads the model."""
    return [read_export(path) for path in sorted(FOLDER.glob("*.json"))]


def load_export(name: str) -> Export:
    return read_export(FOLDER / f"{name}.json")


def read_export(path: Path) -> Export:
    document = json.loads(path.read_text(encoding="utf-8"))
    names, dtypes = document["feature_names"], document["dtypes"]
    return Export(
        name=document["name"],
        path=path.with_suffix(".onnx"),
        companions=tuple(path.parent / name for name in document["companions"]),
        feature_names=tuple(names) if names else None,
        input_data=document["inputs"],
        inputs={
            name: np.array(values, dtype=numpy_dtype(dtypes[name]))
            for name, values in document["inputs"].items()
        },
        info=ExportInfo(
            description=document["description"],
            data=document["data"],
            versions=document["versions"],
            outputs=document["outputs"],
        ),
    )


def numpy_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(object if name == "string" else name)
