import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import helper

from app.datasets.base import FileRequest, Included
from app.datasets.limits import FileLimits
from app.enums import FileFormat
from app.errors import InvalidRequest, MissingFeatures
from tests import graphs
from tests.services.file_lab import Lab, Model, lab

NAMES = ("a", "b", "c")
DOUBLED = Model(graphs.affine(2.0, width=3, feature_names=NAMES), NAMES)


async def run(model: Model, folder: Path, *call: Any) -> Any:
    async with lab(model, folder) as one:
        return await one.run(*call)


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def objects_of(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_each_row_of_a_csv_file_is_followed_by_its_outputs(
    tmp_path: Path,
) -> None:
    body = b'a,b,c,id\n1,2,3,"x, ""y"""\r\n\r\n4,5,6,\n'
    done = await run(DOUBLED, tmp_path, body, "rows.csv")
    assert done.result.decode() == (
        'a,b,c,id,y[0],y[1],y[2],error\n1,2,3,"x, ""y""",3.0,5.0,7.0,\n'
        "4,5,6,,9.0,11.0,13.0,\n"
    )
    assert done.errors == b""


async def test_rows_that_cannot_be_scored_say_why_and_the_rest_is_scored(
    tmp_path: Path,
) -> None:
    body = b'a,b,c\n1,2,3\n1,x,3\n"\n",2,3\n1,2\n\xff,2,3\n4,5,6\n'
    done = await run(DOUBLED, tmp_path, body, "rows.csv")
    rows = rows_of(done.result)
    assert [row["y[0]"] for row in rows] == ["3.0", "", "", "", "", "9.0"]
    assert objects_of(done.errors) == [
        {
            "line": 3,
            "column": "b",
            "reason": 'expected a number, got the string "x".',
        },
        {
            "line": 4,
            "column": "a",
            "reason": 'expected a number, got the string "\n".',
        },
        {
            "line": 6,
            "column": None,
            "reason": "the row has 2 fields, but the header has 3.",
            "text": "1,2",
        },
        {
            "line": 7,
            "column": None,
            "reason": "the row is not UTF-8 (byte 0xff).",
            "text": "\ufffd,2,3",
        },
    ]
    assert rows[1]["error"] == 'column "b": expected a number, got the string "x".'
    assert done.failed == 4


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
async def test_what_could_not_be_read_stands_in_the_errors(
    tmp_path: Path, name: str
) -> None:
    good = b"a,b,c\n1,2,3\n" if name == "rows.csv" else b'{"a":1,"b":2,"c":3}\n'
    done = await run(DOUBLED, tmp_path, good + b"1," + b"x" * 2000 + b"\n", name)
    (error,) = objects_of(done.errors)
    assert error["text"] == "1," + "x" * 998


async def test_an_object_of_ndjson_keeps_its_own_spelling(tmp_path: Path) -> None:
    body = b'{"a":1e0, "b" : 2,"c":3,"more":{"x":[1]}}\n\n{"a":1}\n[1]\n{oops\n'
    done = await run(DOUBLED, tmp_path, body, "rows.jsonl")
    first, *failed = done.result.splitlines()
    assert first == (
        b'{"a":1e0, "b" : 2,"c":3,"more":{"x":[1]},"y":[3.0,5.0,7.0],"error":null}'
    )
    assert [json.loads(line)["error"] for line in failed] == [
        "the row lacks features that this model needs: b, c.",
        "the row must be an object of feature names and values.",
        "the row is no valid JSON: unexpected character, expected a string key.",
    ]


@pytest.mark.parametrize("to", FileFormat)
async def test_a_result_is_the_same_converted_as_written(
    tmp_path: Path, to: FileFormat
) -> None:
    body = b"a,b,c,id\n" + b"".join(b"%d,2.5,nan,r%d\n" % (i, i) for i in range(500))
    body += b"x,1,1,\n"
    async with lab(DOUBLED, tmp_path) as one:
        done = await one.run(body, "rows.csv", FileRequest("some", chunk_rows=99))
        converted = b"".join(one.scoring.convert(done.parts, done.recipe, to))
        other = await one.run(body, "rows.csv", FileRequest("some", result_format=to))
    assert len(done.parts) == 6
    if to in {FileFormat.CSV, FileFormat.NDJSON}:
        assert converted == other.result
    else:
        assert repr(table_of(converted, to)) == repr(table_of(other.result, to))


def table_of(data: bytes, format_: FileFormat) -> list[dict[str, Any]]:
    """Its rows; as text they are the same even where one is NaN."""
    source = pa.BufferReader(data)
    is_parquet = format_ is FileFormat.PARQUET
    table = (
        pq.read_table(source) if is_parquet else pa.ipc.open_stream(source).read_all()
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


async def test_names_that_an_input_has_already_are_told_apart(tmp_path: Path) -> None:
    body = b"a,b,c,y[0],error\n1,2,3,old,fine\n"
    done = await run(DOUBLED, tmp_path, body, "rows.csv")
    assert list(rows_of(done.result)[0]) == [
        *("a", "b", "c", "y[0]", "error"),
        *("output.y[0]", "output.y[1]", "output.y[2]", "row_error"),
    ]


async def test_only_the_inputs_asked_for_are_repeated(tmp_path: Path) -> None:
    asked = FileRequest("some", include_inputs=Included(("id",)))
    body = b'a,b,c,id\n1,2,3,"x,"\n4,5,6,""\n7,8,9,\n'
    done = await run(DOUBLED, tmp_path, body, "rows.csv", asked)
    assert done.result.decode() == (
        'id,y[0],y[1],y[2],error\n"x,",3.0,5.0,7.0,\n"",9.0,11.0,13.0,\n'
        ",15.0,17.0,19.0,\n"
    )


async def test_a_model_of_eight_rows_gets_them_by_eight(tmp_path: Path) -> None:
    fixed = graphs.model_bytes(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [graphs.tensor("x", graphs.FLOAT, [8, 2])],
        [graphs.tensor("y", graphs.FLOAT, [8, 2])],
    )
    body = b"a,b\n" + b"".join(b"%d,%d\n" % (i, -i) for i in range(21))
    done = await run(Model(fixed, ("a", "b"), False), tmp_path, body, "rows.csv")
    assert [float(row["y[0]"]) for row in rows_of(done.result)] == [
        2.0 * i for i in range(21)
    ]


async def test_rows_that_influence_each_other_are_run_one_by_one(
    tmp_path: Path,
) -> None:
    """y = x - mean(x) over the rows, which is 0 for each row alone."""
    centred = graphs.model_bytes(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"]),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [graphs.tensor("x", graphs.FLOAT, ["N", 1])],
        [graphs.tensor("y", graphs.FLOAT, ["N", 1])],
        initializers={"axes": np.array([0], np.int64)},
    )
    model = Model(centred, ("a",), batchable=False)
    done = await run(model, tmp_path, b"x\n1\n2\n30\n", "rows.csv")
    assert [row["y"] for row in rows_of(done.result)] == ["0.0"] * 3
    assert done.recipe.batch_rows == 1


async def test_maps_of_labels_have_a_column_for_each_label(tmp_path: Path) -> None:
    zipmap = Model(graphs.classifier_zipmap(["x", "y"]), ("a", "b"), batchable=False)
    done = await run(zipmap, tmp_path, b"a,b\n1,1\n0,5\n", "rows.csv")
    rows = rows_of(done.result)
    assert list(rows[0])[2:] == [
        "label",
        "probabilities[x]",
        "probabilities[y]",
        "error",
    ]
    assert rows[0]["probabilities[x]"] == "0.5"
    assert done.recipe.batch_rows > 1


@pytest.fixture
async def one(tmp_path: Path) -> Any:
    async with lab(DOUBLED, tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        (b"", "x.csv", "empty"),
        (b"a,b,c\n", "x.csv", "no rows"),
        (b"a,b,c\n\n\n", "x.csv", "no rows"),
        (b"\n", "x.ndjson", "no rows"),
        (b"a,b,c,a\n1,2,3,4\n", "x.csv", '"a" stands there twice'),
        (b"a,b,c\n1,2\nx,y,z\n", "x.csv", "line 2: the row has 2 fields"),
        (b"a,b,c\n1,x,3\n", "x.csv", 'line 2: column "b": expected a number'),
        (b"PK\x03\x04....", "x.csv", "ZIP"),
        (b"PAR1....", "x.csv", "Parquet"),
        (b"a,b,c\n1,2,3\n", "x.csv.gz", "said to be packed with gzip"),
        (
            gzip.compress(b"a,b,c\n1,2,3\n", mtime=0),
            "x.csv",
            "packed with gzip, but nothing",
        ),
        (gzip.compress(b"a,b,c\n1,2,3\n", mtime=0)[:-9], "x.csv.gz", "no valid gzip"),
        (b",".join([b"x"] * 20_000) + b"\n1\n", "x.csv", "20000 columns"),
    ],
)
async def test_a_file_that_no_row_of_can_be_scored_is_refused_at_once(
    one: Lab, body: bytes, name: str, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        await one.examine(body, name)


async def test_every_missing_column_is_named_at_once(one: Lab) -> None:
    with pytest.raises(MissingFeatures, match=r"a, c; its columns are \"b\", \"d\""):
        await one.examine(b"b,d\n1,2\n", "x.csv")
    with pytest.raises(MissingFeatures, match="Only a comma separates fields"):
        await one.examine(b"a;b;c\n1;2;3\n", "x.csv")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
async def test_the_result_does_not_depend_on_how_a_file_is_cut(
    tmp_path: Path, newline: str
) -> None:
    rows = ['1,2,3,"a\nb"', "", "x,2,3,", '4,5,6,"""\r\n"', "1,2", "7,8,9,é", ""] * 9
    body = newline.join(["", "a,b,c,id", *rows, "1,1,1,last"]).encode()
    limits = FileLimits(block_bytes=50, span_bytes=120)
    async with lab(DOUBLED, tmp_path, limits) as one:
        whole = await one.run(body, "x.csv", FileRequest("some", chunk_rows=1000))
        for count in (1, 2, 7):
            cut = await one.run(body, "x.csv", FileRequest("some", chunk_rows=count))
            assert cut.result == whole.result
            assert cut.errors == whole.errors
    async with lab(DOUBLED, tmp_path / "again") as one:
        usual = await one.run(body, "x.csv")
    assert usual.result == whole.result
    assert usual.failed == 18
    assert objects_of(usual.errors) == objects_of(whole.errors)
