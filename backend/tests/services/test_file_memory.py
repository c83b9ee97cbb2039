"""What a file job holds, whatever the file: measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.datasets.arrow_files import recut_arrow
from app.datasets.limits import DEFAULT_LIMITS, FileLimits
from app.datasets.parquet_files import plan_parquet
from app.datasets.tables import plain_batches, plain_schema
from app.enums import FileFormat
from app.errors import PayloadTooLarge
from tests import graphs
from tests.codecs.tabular import arrow_bytes, parquet_bytes
from tests.services.file_lab import Model, lab

BACKEND = Path(__file__).parents[2]
RANDOM = np.random.default_rng(5)
MIB = 1 << 20


def grown_by(folder: Path, source: Path, to: str, width: int) -> int:
    command = [sys.executable, "-m", "tests.services.file_memory"]
    command += [str(folder), str(source), to, str(width)]
    done = subprocess.run(
        command, cwd=BACKEND, capture_output=True, text=True, check=True, timeout=300
    )
    return int(done.stdout.splitlines()[-1])


def repeating(rows: int, words: list[str]) -> pa.Table:
    indices = pa.array(np.arange(rows) % len(words), pa.int32())
    text = pa.DictionaryArray.from_arrays(indices, pa.array(words))
    numbers = {f"c{at}": RANDOM.random(rows) for at in range(3)}
    return pa.table({**numbers, "text": text})


@pytest.mark.parametrize("to", ["ndjson", "parquet"])
def test_long_texts_that_repeat_take_a_bounded_room(tmp_path: Path, to: str) -> None:
    words = [RANDOM.bytes(10_000).hex() for _ in range(300)]
    source = tmp_path / "x.parquet"
    pq.write_table(repeating(25_000, words), source, row_group_size=25_000)
    assert grown_by(tmp_path / "job", source, to, 3) < 400


@pytest.mark.timeout(300)
def test_a_table_of_ten_thousand_columns_takes_a_bounded_room(tmp_path: Path) -> None:
    names = [f"c{at}" for at in range(10_004)]
    table = pa.table({name: RANDOM.random(1000).astype(np.float32) for name in names})
    source = tmp_path / "x.parquet"
    pq.write_table(table, source)
    assert grown_by(tmp_path / "job", source, "ndjson", 4) < 512


@pytest.mark.parametrize("rows", [0, 50_000])
def test_a_quote_that_stays_open_is_given_up_at_the_limit(
    tmp_path: Path, rows: int
) -> None:
    source = tmp_path / "x.csv"
    with source.open("wb") as file:
        file.write(b"c0,c1,c2\n" + b"1,2,3\n" * rows + b'1,"2,3\n')
        for _ in range(100):
            file.write(b"1,2,3\n" * (MIB // 6))
    assert grown_by(tmp_path / "job", source, "csv", 3) < 150


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
async def test_texts_that_repeat_count_for_what_they_unpack_to(
    tmp_path: Path, name: str
) -> None:
    table = repeating(6000, ["x" * 1000])
    body = parquet_bytes(table) if name == "x.parquet" else arrow_bytes(table)
    limits = FileLimits(free_bytes=MIB, ratio=2)
    model = Model(
        graphs.affine(2.0, width=3, feature_names=list("012")), ["c0", "c1", "c2"]
    )
    async with lab(model, tmp_path, limits) as one:
        with pytest.raises(PayloadTooLarge, match="JOB_MAX_INPUT_MB, and 2 times"):
            await one.run(body, name)


@pytest.mark.parametrize("format_", [FileFormat.PARQUET, FileFormat.ARROW])
def test_a_file_that_is_planned_does_not_stay_in_memory(
    tmp_path: Path, format_: FileFormat
) -> None:
    """Its pages would count for the process, as long as it is mapped."""
    batches = [RANDOM.random(MIB // 8) for _ in range(96)]
    table = pa.table({"a": pa.chunked_array(batches)})
    source = tmp_path / "x"
    if format_ is FileFormat.PARQUET:
        pq.write_table(table, source, use_dictionary=False, data_page_size=1 << 17)
    else:
        source.write_bytes(arrow_bytes(table))
    seen: list[int] = []

    def check() -> None:
        seen.append(psutil.Process().memory_info().shared)

    before = psutil.Process().memory_info().shared
    if format_ is FileFormat.PARQUET:
        plan_parquet(source, 1 << 17, DEFAULT_LIMITS, check)
    else:
        recut_arrow(source, tmp_path / "plain", 1 << 17, DEFAULT_LIMITS, check)
    assert source.stat().st_size > 90 * MIB
    assert len(seen) > 5
    assert max(seen) - before < 48 * MIB


def test_batches_are_cut_by_what_structs_and_bytes_hold() -> None:
    texts = pa.array(["x" * 100_000] * 100)
    struct = pa.StructArray.from_arrays([texts], names=["inner"])
    fixed = pa.array([b"x" * 100_000] * 100, pa.binary(100_000))
    for array in (struct, fixed):
        batch = pa.record_batch([array], names=["a"])
        limits = FileLimits(batch_bytes=MIB)
        parts = list(plain_batches(batch, plain_schema(batch.schema), limits))
        assert [part.num_rows for part in parts].count(0) == 0
        assert max(part.num_rows for part in parts) <= 10
        assert pa.Table.from_batches(parts).num_rows == 100
