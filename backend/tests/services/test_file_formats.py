"""Models that real libraries exported, on files of every format: each row as ONNX
Runtime itself scores it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from app.datasets.base import FileRequest
from app.enums import FileFormat
from app.errors import InvalidRequest
from tests.codecs import tabular
from tests.exports import load_export
from tests.services.file_lab import Model, lab
from tests.services.file_results import ROWS, check_result, columns_of, drawn

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


@pytest.mark.parametrize("media_type", PACKED)
@pytest.mark.parametrize("name", NAMES)
async def test_each_row_has_what_onnx_runtime_gives_for_it(
    tmp_path: Path, name: str, media_type: str
) -> None:
    export = load_export(name)
    table = columns_of(export, drawn(export))
    ending, pack = PACKED[media_type]
    body = pack(tabular.encoded({**table, "id": list(range(ROWS))}, media_type))
    model = Model(export.path.read_bytes(), export.feature_names, batchable=False)
    async with lab(model, tmp_path) as one:
        done = await one.run(body, f"rows{ending}", FileRequest("some", chunk_rows=100))
    assert done.recipe.batch_rows > 1
    check_result(done.result, media_type, export)


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
