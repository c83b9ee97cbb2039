"""Files are read in other ways than bodies of predict, and mean the same."""

import io
import json
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.codecs.base import Decoder, NullPolicy, Target
from app.codecs.csv_rows import CSVRows
from app.codecs.file_options import FileOptions
from app.codecs.ndjson_rows import NDJSONRows
from app.datasets.blocks import Decoded, Reader, decode
from app.datasets.csv_blocks import CSVReader
from app.datasets.csv_header import read_header, whole_text
from app.datasets.limits import FileLimits
from app.datasets.ndjson_blocks import NDJSONBlock, NDJSONReader
from app.datasets.scored import reason_text
from app.datasets.text_pieces import Extent
from app.engine.values import Array
from app.errors import BadRequest
from tests.codecs.targets import COLUMNS, MATRIX, target

OPTIONS = FileOptions(1 << 30)
# So small that most bodies are read in several pieces.
LIMITS = FileLimits(block_bytes=64)
CELLS = (
    *("1", "1.0", "-1", "0", "-0", "-0.0", "+1", "007", "1e5", "1E-3", "1.", ".5"),
    *("", '""', '"1"', '"1.5"', " 2", "2\t", '" 3 "', "nan", "NaN", "inf", "-INF"),
    *("Infinity", "true", "FALSE", "True", "1_0", "0x1F", "1,5", "x", '"a ""b"""'),
    *("9007199254740993", "18446744073709551615", "9223372036854775808", "1e400"),
    *("-9223372036854775809", "1e39", "1e-400", "0.1", "3.4028235e38", "16777217"),
    *('"a\nb"', '"\r\n"', 'a"b', '"a"b', "é", '"é,"', "null", "[1]", "٣", "\0", "--1"),
)
WIDE = target(
    [
        ("a", "float64", ["N"]),
        ("b", "int8", ["N"]),
        ("c", "bool", ["N"]),
        ("d", "string", ["N", 1]),
        ("e", "uint64", ["N"]),
        ("f", "float16", ["N"]),
    ],
    [("y", "float32", ["N"])],
)
NULLS = Target(
    *("id-1", "some", "1.0.0"),
    MATRIX.signature,
    MATRIX.feature_names,
    nulls=NullPolicy(nan=True, defaults={"age": 7}),
)
TARGETS = (MATRIX, COLUMNS, WIDE, NULLS)
NAMES = {
    id(one): one.feature_names or tuple(spec.name for spec in one.signature.inputs)
    for one in TARGETS
}

Rows = list[list[str]]


@st.composite
def files(draw: st.DrawFn) -> tuple[Target, bytes]:
    """A target, and a CSV body whose rows have about its columns."""
    wanted = draw(st.sampled_from(TARGETS))
    names = [*NAMES[id(wanted)], *draw(st.sampled_from(([], ["id"])))]
    cells = st.sampled_from(draw(st.sampled_from((CELLS, CELLS[:12], CELLS[:8]))))
    row = st.lists(cells, min_size=len(names), max_size=len(names))
    ragged = st.lists(cells, min_size=0, max_size=len(names) + 1)
    rows = draw(st.lists(st.one_of(*[row] * 9, ragged), min_size=1, max_size=12))
    newline = draw(st.sampled_from(("\n", "\r\n", "\n", "\r")))
    bom = draw(st.sampled_from(("", "\ufeff")))
    last = draw(st.sampled_from((newline, "")))
    lines = [",".join(names), *(",".join(row) for row in rows)]
    return wanted, (bom + newline.join(lines) + last).encode()


def read(reader: Reader, body: bytes, rest: Extent) -> list[Decoded]:
    assert isinstance(reader, CSVReader | NDJSONReader)
    return [decode(block) for block in reader.of_file(io.BytesIO(body), rest, 5)]


def tensors_or_refusal(
    decoder: Decoder, body: bytes, wanted: Target
) -> dict[str, Array] | str:
    try:
        inputs: Any = decoder.decode(body, wanted).inputs
    except BadRequest as error:
        return error.detail
    return dict(inputs)


def assert_same(ours: Any, theirs: dict[str, Array], at: str) -> None:
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype
        assert ours[name].shape == array.shape, at
        if array.dtype == object:
            assert ours[name].tolist() == array.tolist()
        else:
            assert ours[name].tobytes() == array.tobytes(), (at, ours, theirs)


@settings(max_examples=200, deadline=None)
@example((MATRIX, b"age,tags[0],tags[1]\n9007199254740993,1,2\n1.5,1,2\nx,1,2\n"))
@example((COLUMNS, b'age,city,visits\n1,"\n",2\n1,"",2.0\n1,,0x1F\n'))
@given(files())
def test_csv_rows_mean_what_they_mean_in_predict(case: tuple[Target, bytes]) -> None:
    wanted, body = case
    header = read_header(io.BytesIO(body), LIMITS)
    fields = tuple(pa.field(name, pa.string()) for name in header.names)
    reader = CSVReader(wanted, header.names, fields, True, True, LIMITS)
    top = body[: header.rest.start]
    for decoded in read(reader, body, header.rest):
        texts = decoded.block.prefixes()
        assert texts is not None
        check_csv(decoded, wanted, top, [text.encode() for text in texts])
    whole = tensors_or_refusal(CSVRows(OPTIONS), body, wanted)
    if not isinstance(whole, str):
        found = read(reader, body, header.rest)
        assert not any(decoded.faults for decoded in found)
        assert sum(len(decoded.rows) for decoded in found) == len(
            next(iter(whole.values()))
        )


def check_csv(decoded: Decoded, wanted: Target, top: bytes, texts: list[bytes]) -> None:
    """Against predict, which gets the rows one by one, and then the good ones."""
    good = [texts[at] for at in decoded.rows.tolist()]
    for at, text in enumerate(texts):
        alone = tensors_or_refusal(CSVRows(OPTIONS), top + text + b"\n", wanted)
        if at in decoded.block.broken:
            continue
        assert isinstance(alone, str) == (at in decoded.faults), (text, alone)
        if isinstance(alone, str):
            reason = reason_text(decoded.faults[at])
            assert alone.endswith(reason.removeprefix("the row")), (alone, reason)
    if good:
        body = top + b"\n".join([*good, b""])
        theirs = tensors_or_refusal(CSVRows(OPTIONS), body, wanted)
        assert isinstance(theirs, dict), theirs
        assert_same(decoded.tensors, theirs, body.decode())


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(("NaN", "Infinity", "x", "1", {"b64": "/w=="}, [1, 2], [], {})),
)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(TARGETS),
    st.lists(
        st.dictionaries(
            st.sampled_from(("age", "tags", "city", "visits", "a", "b", "tags[0]")),
            VALUES,
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_ndjson_rows_mean_what_they_mean_in_predict(
    wanted: Target, rows: list[dict[str, Any]]
) -> None:
    body = "\n".join(json.dumps(row) for row in rows).encode()
    reader = NDJSONReader(
        wanted, (), verbatim=False, is_whole=False, taken=frozenset(), limits=LIMITS
    )
    for decoded in read(reader, body, whole_text(io.BytesIO(body))):
        assert isinstance(decoded.block, NDJSONBlock)
        texts = decoded.block.texts
        for at, text in enumerate(texts):
            alone = tensors_or_refusal(NDJSONRows(OPTIONS), text, wanted)
            assert isinstance(alone, str) == (at in decoded.faults), (text, alone)
        good = b"\n".join(texts[at] for at in decoded.rows.tolist())
        if good:
            theirs = tensors_or_refusal(NDJSONRows(OPTIONS), good, wanted)
            assert isinstance(theirs, dict), theirs
            assert_same(decoded.tensors, theirs, good.decode())
