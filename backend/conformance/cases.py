"""The cases that the `onnx` package carries: models with inputs and expected outputs."""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, TypeProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

FILE_KINDS = ("simple", "pytorch-converted", "pytorch-operator")
KINDS = ("node", *FILE_KINDS)


@dataclass(frozen=True, slots=True)
class Case:
    """`inputs` and `expected` are in the model's order, one pair per data set."""

    name: str
    kind: str
    model: bytes
    rtol: float
    atol: float
    data_sets: tuple[tuple[list[Any], list[Any]], ...]


def collect(kinds: Sequence[str] = KINDS) -> list[Case]:
    """Every case of these kinds, by kind and name."""
    found: list[Case] = []
    for kind in kinds:
        cases = collect_files(kind) if kind in FILE_KINDS else _collect_generated(kind)
        found += sorted(cases, key=lambda case: case.name)
    return found


def collect_files(kind: str, names: Collection[str] | None = None) -> list[Case]:
    """The cases of a kind that lies in files; those of these names, or all."""
    tests = load_model_tests(kind=kind)
    return [_from_files(test) for test in tests if names is None or test.name in names]


def generated(test: TestCase) -> Case:
    """A case as ONNX's generator makes it."""
    assert test.model is not None
    sets = tuple(
        ([_plain(value) for value in inputs], [_plain(value) for value in outputs])
        for inputs, outputs in test.data_sets or ()
    )
    return _case(test, test.model.SerializeToString(), sets)


@contextmanager
def quiet() -> Iterator[None]:
    """For the generator, which divides by zero and casts NaN to show what comes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _collect_generated(kind: str) -> list[Case]:
    with quiet():
        return [generated(test) for test in load_model_tests(kind=kind)]


def _from_files(test: TestCase) -> Case:
    folder = Path(test.model_dir or "")
    data = (folder / "model.onnx").read_bytes()
    graph = ModelProto.FromString(data).graph
    sets = tuple(
        (
            _protos(data_set, "input", [info.type for info in graph.input]),
            _protos(data_set, "output", [info.type for info in graph.output]),
        )
        for data_set in sorted(folder.glob("test_data_set*"))
    )
    return _case(test, data, sets)


def _case(
    test: TestCase, model: bytes, sets: tuple[tuple[list[Any], list[Any]], ...]
) -> Case:
    return Case(test.name, test.kind, model, test.rtol, test.atol, sets)


def _protos(folder: Path, stem: str, types: Sequence[TypeProto]) -> list[Any]:
    count = len(list(folder.glob(f"{stem}_*.pb")))
    return [
        _read((folder / f"{stem}_{at}.pb").read_bytes(), types[at])
        for at in range(count)
    ]


def _read(data: bytes, type_: TypeProto) -> Any:
    if type_.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if type_.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(TensorProto.FromString(data))


def _plain(value: Any) -> Any:
    """Arrays of the dtypes that tensors have, from all that the generator gives."""
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "US" else array
