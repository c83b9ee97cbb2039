"""Files that mean harm, or are broken: clear words, little memory, nothing left."""

import asyncio
import csv
import gzip
import json
import resource
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from app.datasets.base import FileRequest, Kind
from app.datasets.limits import MIB, FileLimits
from app.enums import Compression, FileFormat
from app.errors import BadRequest, InvalidRequest, MLForgeError, PayloadTooLarge
from tests import graphs
from tests.codecs.tabular import arrow_bytes, parquet_bytes
from tests.services.file_lab import ASKED, VERSION, Lab, Model, lab

NAMES = ("a", "b", "c")
DOUBLED = Model(graphs.affine(2.0, width=3, feature_names=NAMES), NAMES)
SMALL = FileLimits(
    input_bytes=8 * MIB,
    free_bytes=MIB,
    ratio=20,
    line_bytes=MIB,
    block_bytes=MIB // 4,
    span_bytes=MIB,
)
ROW = b"1,2,3\n"


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(DOUBLED, tmp_path, SMALL) as found:
        yield found


@pytest.fixture
async def usual(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(DOUBLED, tmp_path) as found:
        yield found


@contextmanager
def little_memory(slack_mib: int = 160) -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < slack_mib * 1024


async def planned(one: Lab, data: bytes, name: str, head: bytes, kind: Kind) -> str:
    """What the plan says of this file, whose head alone was fine."""
    recipe = (await one.examine(head, name)).recipe
    assert recipe.kind == kind
    (one.folder / "input").write_bytes(data)
    before = one.paths()
    with little_memory(), pytest.raises(MLForgeError) as caught:
        await one.scoring.plan(one.folder / "input", one.folder / "plain", recipe)
    assert caught.value.status in {400, 413}
    assert one.paths() == before
    return caught.value.detail


async def test_a_line_of_100_mb_is_named_and_never_held(usual: Lab) -> None:
    path = usual.folder / "input"
    with path.open("wb") as file:
        file.write(b"a,b,c\n" + ROW * 3000)
        file.seek(100 * MIB, 1)
        file.write(b"\n" + ROW)
    kind = Kind(FileFormat.CSV)
    with little_memory():
        recipe = (await usual.scoring.examine(path, kind, ASKED)).recipe
        with pytest.raises(InvalidRequest, match="line 3002: the row has more than 16"):
            await usual.scoring.plan(path, usual.folder / "plain", recipe)


async def test_a_line_too_long_among_the_first_is_refused_at_once(one: Lab) -> None:
    body = b"a,b,c\n" + ROW + b'4,"' + b"x" * 3 * MIB + b'",5\n'
    with pytest.raises(InvalidRequest, match="line 3: the row has more than 1 MiB"):
        await one.examine(body, "x.csv")
    with pytest.raises(InvalidRequest, match="line 1: the row has more than 1 MiB"):
        await one.examine(b"x" * 3 * MIB, "x.ndjson")


@pytest.mark.parametrize("packing", [Compression.GZIP, Compression.ZSTD])
async def test_a_bomb_ends_at_the_limit(one: Lab, packing: Compression) -> None:
    def pack(data: bytes) -> bytes:
        if packing is Compression.GZIP:
            return gzip.compress(data, compresslevel=1)
        return bytes(pa.compress(data, codec="zstd", asbytes=True))

    kind = Kind(FileFormat.CSV, packing)
    name = "x.csv.gz" if packing is Compression.GZIP else "x.csv.zst"
    head = pack(b"a,b,c\n" + ROW)
    bomb = pack(b"a,b,c\n" + ROW * (2 * MIB))
    detail = await planned(one, bomb, name, head, kind)
    assert "more than 20 times its size" in detail
    digits = np.random.default_rng(1).integers(
        48, 58, size=(2 * MIB, 6), dtype=np.uint8
    )
    digits[:, [1, 3]], digits[:, 5] = ord(","), ord("\n")
    long = b"a,b,c\n" + digits.tobytes()
    assert "more than 8 MiB" in await planned(one, pack(long), name, head, kind)
    detail = await planned(one, pack(long)[:-50_000], name, head, kind)
    assert f"no valid {packing}" in detail or "8 MiB" in detail


@pytest.mark.parametrize("name", ["x.parquet.gz", "x.arrow.gz"])
async def test_a_table_packed_as_a_whole_is_unpacked_up_to_a_bound(
    tmp_path: Path, name: str
) -> None:
    """Text is not: its first rows are enough to take it."""
    limits = FileLimits(packed_table_bytes=MIB)
    numbers = np.random.default_rng(1).random(MIB // 4)
    table = pa.table(dict.fromkeys(NAMES, numbers))
    body = (parquet_bytes if "parquet" in name else arrow_bytes)(table)
    text = gzip.compress(b"a,b,c\n" + ROW * (MIB // 4), compresslevel=1)
    async with lab(DOUBLED, tmp_path, limits) as one:
        before = one.paths()
        with pytest.raises(PayloadTooLarge, match="more than 1 MiB, the limit for"):
            await one.examine(gzip.compress(body, compresslevel=1), name)
        assert {path.name for path in one.paths()} == {
            *(path.name for path in before),
            "input",
        }
        assert (await one.examine(text, "x.csv.gz")).rows > 1000


async def test_a_quote_that_is_never_closed_fails_its_rows_only(one: Lab) -> None:
    body = b'a,b,c\n1,2,3\n4,"5,6\n7,8,9\n'
    done = await one.run(body, "x.csv")
    assert done.result.count(b"\n") == 4
    assert [json.loads(line) for line in done.errors.splitlines()] == [
        {
            "line": 3,
            "column": None,
            "reason": "the row is no valid CSV: unexpected end of data.",
            "text": '4,"5,6\n7,8,9',
        }
    ]


async def test_what_another_format_looks_like_is_told(one: Lab) -> None:
    with pytest.raises(InvalidRequest, match="begins like NDJSON"):
        await one.examine(b'{"a": 1, "b": 2, "c": 3}\n', "x.csv")
    with pytest.raises(InvalidRequest, match="begins like a Parquet file"):
        await one.examine(parquet_bytes(TABLE), "x.csv")


async def test_a_model_that_gives_one_value_for_all_rows_scores_no_file(
    tmp_path: Path,
) -> None:
    async with lab(Model(graphs.total()), tmp_path) as one:
        with pytest.raises(InvalidRequest, match='no value per row in its output "y"'):
            await one.examine(b"x\n1\n2\n", "x.csv")


async def test_formulas_are_kept_as_they_are(one: Lab) -> None:
    body = b'a,b,c,id\n1,2,3,=1+1\n1,2,3,"=HYPERLINK(""x"")"\n1,2,3,@SUM(A1)\n'
    done = await one.run(body, "x.csv")
    lines = done.result.splitlines()[1:]
    assert [line[: -len(b",3.0,5.0,7.0,")] for line in lines] == body.splitlines()[1:]


async def test_a_model_of_ten_thousand_columns_is_scored(tmp_path: Path) -> None:
    names = [f"c{at}" for at in range(10_000)]
    model = Model(graphs.affine(2.0, width=10_000, feature_names=names), names)
    rows = "".join(f"{','.join([str(at)] * 10_000)}\n" for at in range(20))
    body = f"{','.join(names)}\n{rows}".encode()
    async with lab(model, tmp_path) as wide:
        done = await wide.run(body, "x.csv")
    first = done.result.splitlines()[1].decode().split(",")
    assert first == ["0"] * 10_000 + ["1.0"] * 10_000 + [""]


async def test_a_row_that_the_model_refuses_fails_alone(tmp_path: Path) -> None:
    """A gather beyond its table: all rows of a run fail with it."""
    body = b"i\n" + b"".join(b"%d\n" % (at % 13) for at in range(500))
    async with lab(Model(graphs.lookup(12)), tmp_path) as one:
        done = await one.run(body, "x.csv")
    rows = list(csv.reader(done.result.decode().splitlines()[1:]))
    assert done.failed == 500 // 13
    for at, (index, found, reason) in enumerate(rows):
        assert int(index) == at % 13
        assert (found == "") == (at % 13 == 12) == bool(reason)


async def test_a_scoring_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    body = b"i,n\n" + b"1,1\n" * 5000 + b"1,1000000000\n"
    model = Model(graphs.slow_lookup(12), batchable=False)
    async with lab(model, tmp_path) as one:
        asked = FileRequest("some", outputs=("y",), chunk_rows=10_000)
        found = (await one.examine(body, "x.csv", asked)).recipe
        recipe = replace(found, batch_rows=50)
        (span,) = await one.scoring.plan(tmp_path / "input", tmp_path / "plain", recipe)
        begun = asyncio.Event()
        task = asyncio.create_task(
            one.scoring.score(
                *(VERSION, tmp_path / "input", span, recipe, tmp_path / "part"),
                lambda _done, _failed: begun.set(),
            )
        )
        await begun.wait()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert {path.name for path in one.paths()} == {"input", "model"}


async def test_rows_of_a_chunk_that_is_given_up_keep_their_inputs(one: Lab) -> None:
    body = b'a,b,c\n1,2,3\n\n1,"\n",3\n1,2\n'
    recipe = (await one.examine(body, "x.csv")).recipe
    source, part = one.folder / "input", one.folder / "part"
    (span,) = await one.scoring.plan(source, one.folder / "plain", recipe)
    summary = await one.scoring.fail_rows(source, span, recipe, part, "it died")
    assert (summary.rows, summary.failed) == (3, 3)
    assert [error.line for error in summary.errors] == [2, 4, 6]
    assert (one.folder / "part.csv").read_text() == (
        '1,2,3,,,,it died\n1,"\n",3,,,,it died\n1,2,,,,,it died\n'
    )


TABLE = pa.table({"a": [1.0] * 100, "b": [2.0] * 100, "c": ["3"] * 100})


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
async def test_what_is_cut_short_or_changed_is_refused_or_read(
    one: Lab, name: str
) -> None:
    table = TABLE.set_column(2, "c", pa.array([3] * 100))
    body = parquet_bytes(table) if name == "x.parquet" else arrow_bytes(table)
    random = np.random.default_rng(3)
    for _ in range(60):
        hurt = bytearray(body)
        for at in random.integers(len(body), size=3):
            hurt[at] = random.integers(256)
        cut = bytes(hurt[: int(len(body) * random.choice([0.3, 0.6, 0.95, 1.0]))])
        try:
            done = await one.run(cut, name)
        except (BadRequest, PayloadTooLarge):
            continue
        assert done.table().num_rows <= 100


async def test_parquet_that_says_it_is_larger_than_it_may_be_is_refused(
    one: Lab,
) -> None:
    body = parquet_bytes(TABLE)
    for length in (0, 1, 2**31 - 1, 2**32 - 1):
        with pytest.raises(InvalidRequest, match="no valid Parquet"):
            await one.examine(
                body[:-8] + struct.pack("<I", length) + b"PAR1", "x.parquet"
            )
    zeros = pa.table({name: np.zeros(1 << 21) for name in NAMES})
    bomb = parquet_bytes(zeros, compression="zstd", use_dictionary=False)
    with little_memory(), pytest.raises(PayloadTooLarge, match="unpacks to"):
        await one.examine(bomb, "x.parquet")


async def test_arrow_buffers_that_unpack_to_too_much_are_refused(one: Lab) -> None:
    count = (600 * MIB) // 24
    zeros = pa.table({name: pa.array(np.zeros(count)) for name in NAMES})
    bomb = arrow_bytes(zeros, compression="zstd")
    del zeros
    with little_memory(), pytest.raises(PayloadTooLarge, match="unpacks to 600 MiB"):
        await one.examine(bomb, "x.arrow")
