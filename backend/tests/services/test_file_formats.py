"""Models that real libraries exported, on files of every format: each row as ONNX
Runtime itself scores it."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from app.datasets.base import FileRequest
from app.enums import FileFormat
from app.errors import InvalidRequest
from tests.codecs import tabular
from tests.exports import Array, Export, load_export
from tests.services.file_lab import Model, lab

ROWS = 333
NAMES = (
    "lightgbm_wine_zipmap",
    "sklearn_diabetes_mixed_columns",
    "sklearn_diabetes_regressor",
    "sklearn_iris_kmeans",
    "sklearn_linnerud_three_targets",
    "sklearn_text_tfidf",
    "sklearn_wine_string_labels",
    "xgboost_18_features",
)

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


def plain(body: bytes) -> bytes:
    return body


def zstd(body: bytes) -> bytes:
    return bytes(pa.compress(body, codec="zstd", asbytes=True))


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    tabular.CSV: (".csv.gz", gzip.compress),
    tabular.NDJSON: (".jsonl.zst", zstd),
    tabular.PARQUET: (".parquet", plain),
    tabular.ARROW: (".arrow.gz", gzip.compress),
}


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


@pytest.mark.parametrize("media_type", PACKED)
@pytest.mark.parametrize("name", NAMES)
async def test_each_row_has_what_onnx_runtime_gives_for_it(
    tmp_path: Path, name: str, media_type: str
) -> None:
    export = load_export(name)
    inputs = drawn(export)
    table = columns_of(export, inputs)
    ending, pack = PACKED[media_type]
    body = pack(tabular.encoded({**table, "id": list(range(ROWS))}, media_type))
    model = Model(export.path.read_bytes(), export.feature_names, batchable=False)
    async with lab(model, tmp_path) as one:
        done = await one.run(body, f"rows{ending}", FileRequest("some", chunk_rows=100))
    columns = read(done.result, media_type)
    assert list(map(int, columns["id"])) == list(range(ROWS))
    assert not any(columns["error"])
    assert done.recipe.batch_rows > 1
    for output, direct in export.direct_run(inputs).items():
        ours, theirs = spread(columns, output, direct)
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        else:
            assert ours.tolist() == theirs.tolist()


async def test_an_output_that_has_no_value_for_each_row_is_no_column(
    tmp_path: Path,
) -> None:
    """The probabilities of its labels come as a list of three tables."""
    export = load_export("sklearn_linnerud_multilabel")
    table = columns_of(export, drawn(export))
    body = tabular.encoded(table, tabular.CSV)
    model = Model(export.path.read_bytes(), export.feature_names, batchable=False)
    async with lab(model, tmp_path) as one:
        with pytest.raises(InvalidRequest, match="choose others with outputs"):
            await one.examine(body, "rows.csv")
        asked = FileRequest("some", outputs=("label",), result_format=FileFormat.NDJSON)
        done = await one.run(body, "rows.csv", asked)
    labels = [json.loads(line)["label"] for line in done.result.splitlines()]
    assert labels == export.direct_run(drawn(export))["label"].tolist()
