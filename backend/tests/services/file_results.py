"""Rows drawn from the samples of exported models, and what a result says of them."""

import csv
import io
import json
from typing import Any

import numpy as np

from tests.codecs import tabular
from tests.exports import Array, Export

ROWS = 333

Columns = dict[str, list[Any]]


def drawn(export: Export) -> dict[str, Array]:
    """Many rows: each value is one of the samples' of its column, floats shifted."""
    random = np.random.default_rng(7)
    inputs = {}
    for name, samples in export.inputs.items():
        picked = random.integers(len(samples), size=(ROWS, samples.shape[1]))
        values = np.take_along_axis(samples, picked, axis=0)
        if values.dtype.kind == "f":
            noise = random.normal(1, 0.1, values.shape)
            values = (values * noise).astype(values.dtype)
        inputs[name] = values
    return inputs


def columns_of(export: Export, inputs: dict[str, Array]) -> Columns:
    if export.feature_names is None:
        return {name: array[:, 0].tolist() for name, array in inputs.items()}
    (matrix,) = inputs.values()
    return dict(zip(export.feature_names, matrix.T.tolist(), strict=True))


def read(result: bytes, media_type: str) -> dict[str, list[Any]]:
    """Each column of a result, CSV's spread ones too, as lists."""
    if media_type == tabular.CSV:
        rows = list(csv.reader(io.StringIO(result.decode(), newline="")))
        return dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))
    if media_type == tabular.NDJSON:
        objects = [json.loads(line) for line in result.splitlines()]
        return {name: [row[name] for row in objects] for name in objects[0]}
    table = tabular.read_arrow(result, media_type)
    columns: dict[str, list[Any]] = table.to_pydict()
    return columns


def spread(columns: dict[str, list[Any]], name: str, direct: Any) -> tuple[Any, Any]:
    """What the result says of an output, and what ONNX Runtime does: as tables of the
    same shape."""
    if isinstance(direct, list):
        labels = list(direct[0])
        direct = np.array([[row[label] for label in labels] for row in direct])
        names = [str(label) for label in labels]
    else:
        direct = direct.reshape(len(direct), -1)
        names = [str(at) for at in range(direct.shape[1])]
    if name not in columns:
        ours = [columns[f"{name}[{part}]"] for part in names]
        return np.array(ours, dtype=direct.dtype).T, direct
    rows = [
        [row[part] for part in names] if isinstance(row, dict) else row
        for row in columns[name]
    ]
    return np.array(rows, dtype=direct.dtype).reshape(direct.shape), direct


def check_result(result: bytes, media_type: str, export: Export) -> None:
    """Of the drawn rows with an `id` each: all of them, in order, with the outputs that
    ONNX Runtime gives."""
    columns = read(result, media_type)
    assert list(map(int, columns["id"])) == list(range(ROWS))
    assert not any(columns["error"])
    for output, direct in export.direct_run(drawn(export)).items():
        ours, theirs = spread(columns, output, direct)
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        else:
            assert ours.tolist() == theirs.tolist()
