"""What a result in columns or in NDJSON makes of the cells of a CSV file."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pytest

from app.datasets.base import FileRequest, Included
from app.enums import FileFormat
from tests import graphs
from tests.codecs.tabular import parquet_bytes
from tests.services.file_lab import Lab, Model, lab

NAMES = ("a", "b", "c")
DOUBLED = Model(graphs.affine(2.0, width=3, feature_names=NAMES), NAMES)
BODY = b'a,id,b,c\n1,007,2.50,3\nx,8,2,\n 4,"9",-0,1e2\n5,,6\n'


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(DOUBLED, tmp_path) as found:
        yield found


@pytest.mark.parametrize("to", [FileFormat.PARQUET, FileFormat.ARROW])
async def test_features_are_numbers_and_other_columns_text(
    one: Lab, to: FileFormat
) -> None:
    done = await one.run(BODY, "x.csv", FileRequest("some", result_format=to))
    table = done.table()
    assert table.column("a").to_pylist() == [1.0, None, 4.0, 5.0]
    assert table.column("b").to_pylist() == [2.5, 2.0, 0.0, 6.0]
    assert table.column("c").to_pylist() == [3.0, None, 100.0, None]
    assert table.column("id").to_pylist() == ["007", "8", "9", None]
    assert 'column "a": expected a number' in table.column("error")[1].as_py()
    again = await one.run(parquet_bytes(table.select(["a", "b", "c"])), "x.parquet")
    first = again.table().column("y").to_pylist()[0]
    assert first == table.column("y").to_pylist()[0]


async def test_ndjson_of_csv_holds_numbers(one: Lab) -> None:
    asked = FileRequest("some", result_format=FileFormat.NDJSON)
    done = await one.run(BODY, "x.csv", asked)
    row = json.loads(done.result.splitlines()[0])
    assert (row["a"], row["b"], row["c"], row["id"]) == (1.0, 2.5, 3.0, "007")


async def test_csv_of_csv_keeps_the_cells_of_chosen_columns(one: Lab) -> None:
    asked = FileRequest("some", include_inputs=Included(("b", "id")))
    done = await one.run(BODY, "x.csv", asked)
    lines = done.result.decode().splitlines()[1:]
    assert [line.split(",")[:2] for line in lines[:3]] == [
        ["2.50", "007"],
        ["2", "8"],
        ["-0", "9"],
    ]
    parquet = b"".join(one.scoring.convert(done.parts, done.recipe, FileFormat.ARROW))
    table = pa.ipc.open_stream(parquet).read_all()
    assert table.column("b").to_pylist()[0] == 2.5
