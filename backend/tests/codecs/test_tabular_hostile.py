"""Bodies made to break the server are refused, without the memory they ask for."""

import io
import json
import pickle
import resource
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequest, MLForgeError, PayloadTooLarge
from tests.codecs.tabular import (
    ARROW,
    CSV,
    LIMIT,
    NDJSON,
    NPZ,
    PARQUET,
    arrow_bytes,
    decoder,
    npz_bytes,
    parquet_bytes,
)
from tests.codecs.targets import COLUMNS, target

TABLE = pa.table(
    {
        "age": [1.5, None, 3.0],
        "city": ["Bern", "Oslo", "Bern"],
        "visits": [1, 2, 3],
    }
)
CODED = TABLE.set_column(1, "city", TABLE["city"].dictionary_encode())
LISTS = TABLE.append_column("tags", pa.array([[1, 2], [], None]))
TENSORS = target([("x", "float32", ["N", 2]), ("s", "string", ["N"])], [])
ARRAYS: dict[str, Any] = {"x": np.zeros((2, 2)), "s": np.array(["a", "é"])}
BODIES = [
    (CSV, b'age,city,visits\r\n1,"a ""b""\n",2\r\n2.5,"",3\r\n'),
    (NDJSON, b'{"age": 1, "city": "x", "visits": 2}\n' * 2),
    (ARROW, arrow_bytes(TABLE)),
    (ARROW, arrow_bytes(CODED, compression="zstd")),
    (ARROW, arrow_bytes(LISTS, compression="lz4")),
    (PARQUET, parquet_bytes(TABLE)),
    (PARQUET, parquet_bytes(LISTS, compression="zstd")),
    (PARQUET, parquet_bytes(TABLE, use_dictionary=False, data_page_version="2.0")),
    (NPZ, npz_bytes(ARRAYS)),
    (NPZ, npz_bytes(ARRAYS, is_compressed=True)),
]
WORDS = st.sampled_from([b"", b"\0", b"\xff", b"\x7f", b"\xff\xff\xff\x7f", b"\0" * 4])
SLACK_BYTES = 256 << 20


@contextmanager
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < SLACK_BYTES


def refused(media_type: str, body: bytes, *, limit_bytes: int = LIMIT) -> str:
    wanted = TENSORS if media_type == NPZ else COLUMNS
    with little_memory(), pytest.raises(MLForgeError) as caught:
        decoder(media_type, limit_bytes).decode(body, wanted)
    assert caught.value.status in {400, 413}
    return caught.value.detail


@given(
    st.sampled_from(BODIES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), WORDS), max_size=3),
    st.floats(0, 1) | st.just(1.0),
)
def test_a_mutilated_body_is_refused_or_read(
    sound: tuple[str, bytes], cuts: list[tuple[float, int, bytes]], end: float
) -> None:
    media_type, body = sound
    for place, gone, put in cuts:
        at = int(place * len(body))
        body = body[:at] + put + body[at + gone :]
    body = body[: int(end * len(body))]
    wanted = TENSORS if media_type == NPZ else COLUMNS
    with suppress(BadRequest, PayloadTooLarge):
        decoder(media_type).decode(body, wanted)


@pytest.mark.parametrize(("media_type", "body"), BODIES[2:], ids=str)
def test_a_truncated_file_is_refused(media_type: str, body: bytes) -> None:
    for part in (0.0, 0.3, 0.6, 0.9):
        refused(media_type, body[: int(len(body) * part)])


def test_ten_thousand_columns_are_read_and_lack_ours() -> None:
    header = ",".join(f"c{i}" for i in range(10_000))
    row = ",".join("1" * 10_000)
    detail = refused(CSV, f"{header}\n{row}\n".encode())
    assert "lacks features that this model needs: age, city, visits" in detail
    assert len(detail) < 1000
    body = f"age,city,visits,{header}\n1,a,2,{row}\n".encode()
    assert len(decoder(CSV).decode(body, COLUMNS).ignored) == 10_000


def test_csv_that_is_not_utf8_names_the_line() -> None:
    detail = refused(CSV, b"age,city,visits\n1,a,2\n1,\xff\xfe,2\n")
    assert detail == "line 3: the body is not UTF-8 (byte 0xff)."
    assert "UTF-8" in refused(CSV, "age,city".encode("utf-16"))


def test_quotes_without_end_are_read_once() -> None:
    refused(CSV, b'a,"",\n' + b'"' * 2_000_001)
    refused(CSV, b'a,"",\n' + b'"x,' * 500_000)


def test_a_long_string_among_numbers_takes_no_more_room() -> None:
    long = "x" * 1_000_000
    rows = f"age,city,visits\n{long},a,1\n" + "1,a,1\n" * 20_000
    assert 'line 2, column "age"' in refused(CSV, rows.encode())
    ages = pa.array([long, *["1"] * 20_000]).dictionary_encode()
    table = pa.table({"age": ages, "city": ["a"] * 20_001, "visits": [1] * 20_001})
    limit = 1 << 40
    assert "column" in refused(ARROW, arrow_bytes(table), limit_bytes=limit)


def test_what_unpacks_beyond_the_limit_is_refused_before() -> None:
    count = 200 << 20
    zeros = pa.table({"age": pa.array(np.zeros(count // 8))})
    for body in (
        arrow_bytes(zeros, compression="zstd"),
        parquet_bytes(zeros, compression="zstd", use_dictionary=False),
    ):
        media_type = PARQUET if body[:4] == b"PAR1" else ARROW
        assert len(body) < 1 << 20
        assert "more than 8 MiB" in refused(media_type, body)
    bomb = npz_bytes({"x": np.zeros(count // 8)}, is_compressed=True)
    assert "more than 8 MiB" in refused(NPZ, bomb)


def test_runs_of_one_value_count_for_as_many_rows_as_they_stand() -> None:
    one = pa.DictionaryArray.from_arrays(
        np.zeros(9 << 20, np.int8), pa.array(["a" * 100])
    )
    table = pa.table({"city": one})
    assert "more than 8 MiB" in refused(PARQUET, parquet_bytes(table))
    few = pa.table({"city": one.slice(0, 1 << 20)})
    assert "more than 8 MiB" in refused(PARQUET, parquet_bytes(few))
    assert "more than 8 MiB" in refused(ARROW, arrow_bytes(few))
    repeated = pa.table({"x": pa.array([[7] * (9 << 20)])})
    assert "more than 8 MiB" in refused(PARQUET, parquet_bytes(repeated))


def test_rows_of_nothing_are_counted() -> None:
    nothing = pa.table({"age": pa.nulls(9 << 20)})
    assert "more than 8 MiB" in refused(ARROW, arrow_bytes(nothing))


def test_a_footer_that_lies_is_refused() -> None:
    body = parquet_bytes(TABLE)
    for length in (0, 1, 2**31 - 1, 2**32 - 1):
        refused(PARQUET, body[:-8] + struct.pack("<I", length) + b"PAR1")
    # A list of 2^60 doubles, and lists in lists, where the footer should be.
    for footer in (b"\x19\xf7" + b"\xff" * 8 + b"\x0f", b"\x19" + b"\x19" * 100_000):
        tail = footer + struct.pack("<I", len(footer)) + b"PAR1"
        refused(PARQUET, b"PAR1" + b"\0" * 8 + tail)


def test_duplicate_columns_are_refused() -> None:
    twice = pa.Table.from_arrays([TABLE["age"], TABLE["age"]], names=["age", "age"])
    assert 'column "age" stands there twice' in refused(ARROW, arrow_bytes(twice))
    assert "twice" in refused(CSV, b"age,city,visits,age\n1,a,2,3\n")


def npy(header: str, data: bytes = b"") -> bytes:
    return (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data
    )


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


HEADER = "{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    ("descr", "shape", "wanted"),
    [
        ("'<f4'", "(1000000000000,)", "takes 4000000000000 bytes, but 4 are there"),
        ("'<f4'", "(-1,)", "takes -4 bytes"),
        ("'<f4'", "(2, -1, -1)", "bytes, but 4 are there"),
        ("'<U0'", "(1000000000000,)", "bytes, but 4 are there"),
        ("'|O'", "(1,)", "pickled objects"),
        ("[('a', '<f4')]", "(1,)", "are not taken"),
        ("'<M8[s]'", "(1,)", "8 bytes, but 4"),
        ("'<c8'", "(0,)", "0 bytes, but 4"),
        ("'<U1'", "(1,)", "no Unicode character"),
        ("__import__('os')", "(1,)", "no valid npz"),
    ],
)
def test_npz_headers_are_held_against_what_is_there(
    descr: str, shape: str, wanted: str
) -> None:
    text = HEADER.format(descr=descr, shape=shape)
    assert wanted in refused(NPZ, zipped(s=npy(text, b"\xff" * 4)))


def test_pickles_are_never_read() -> None:
    objects = np.array([{"a": 1}], dtype=object)
    assert "pickled" in refused(NPZ, npz_bytes({"x": objects}))
    refused(NPZ, zipped(x=pickle.dumps(print)))
    refused(NPZ, pickle.dumps(print))


def test_npz_names_what_it_does_not_know() -> None:
    assert 'no input "z"' in refused(NPZ, npz_bytes({"z": np.zeros(2)}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", b"")
    assert "numpy.savez" in refused(NPZ, buffer.getvalue())


def test_ndjson_of_deep_nesting_is_refused() -> None:
    refused(NDJSON, b'{"age":' + b"[" * 100_000)
    refused(NDJSON, json.dumps({"age": {"a": {}}, "city": "", "visits": 1}).encode())
