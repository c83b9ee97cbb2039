"""Files are read in other ways than bodies of predict, and mean the same."""

import io
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.codecs.base import Decoder, NullPolicy, Target
from app.codecs.csv_rows import CSVRows
from app.codecs.features import elements_of
from app.codecs.file_options import FileOptions
from app.codecs.ndjson_rows import NDJSONRows
from app.datasets.blocks import Decoded, Reader, decode
from app.datasets.csv_blocks import CSVReader
from app.datasets.csv_header import read_header, whole_text
from app.datasets.feature_types import feature_type
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
JSON_LIMITS = FileLimits(block_bytes=400)
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
NUMBERS = Target(
    "id-1", "some", "1.0.0", MATRIX.signature, ("age", "x", "y"), nulls=NULLS.nulls
)
TARGETS = (MATRIX, COLUMNS, WIDE, NULLS, NUMBERS)
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
        check_csv(decoded, wanted, top, [text.encode() for text in texts.to_pylist()])
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


JSON_VALUES = (
    *("1", "2", "1.5", "-3", "1e2", "0", "0.25", "7.0", "-0.0", "-0", "1E400"),
    *("1e39", "9007199254740993", "18446744073709551616", "300", "true", "null"),
    *('"x"', '"1"', '"\\u00e9"', '"\\ud800"', '"a\\nb"', '"é"', '"NaN"', "[1, 2]"),
    *("[]", "{}", '{"b64": "/w=="}', "NaN", "-Infinity", "01", "1.", "+1", "0x1F"),
)
# Of the names that are no numbers.
USUAL = {
    "city": ('"x"', '"é"', '"a\\nb"'),
    "c": ("true", "false"),
    "d": ('""', '"x"'),
    "t": ('"x"', "null"),
}
JSON_LINES = (
    *("", " ", "[1]", "{}", "{oops", "1", "null", '{"age":1}{"age":2}', "{} {}"),
    *('{"age":1}\0', '{"age":1}\0{"age":2}', '{"age":{"x":1}', '}"age":1}'),
    *('{"age":1,"age":2}', '{"age":1,"more":NaN}', '{"error":1}', "\r", "{\r}"),
)


@st.composite
def objects(draw: st.DrawFn) -> tuple[Target, bytes]:
    """A target, and lines of which almost all are objects that it takes."""
    wanted = draw(st.sampled_from((COLUMNS, WIDE, NUMBERS, NUMBERS, MATRIX)))
    names = [*NAMES[id(wanted)], *draw(st.sampled_from(([], ["id"], ["id", "t"])))]
    usual = [USUAL.get(name, ("1", "7", "2.0", "0")) for name in names]
    count = draw(st.integers(2, 8))
    rows = [[draw(st.sampled_from(cells)) for cells in usual] for _ in range(count)]
    for odd in draw(st.lists(st.sampled_from(JSON_VALUES), max_size=2)):
        at = draw(st.integers(0, count * len(names) - 1))
        rows[at % count][at % len(names)] = odd
    begin = draw(st.sampled_from((*("{",) * 5, " {", "{ ")))
    lines = [object_of(names, row, begin) for row in rows]
    for odd in draw(st.lists(st.sampled_from(JSON_LINES), max_size=1)):
        lines.insert(draw(st.integers(0, len(lines))), odd)
    last = draw(st.sampled_from(("\n", "", "\r\n")))
    return wanted, ("\n".join(lines) + last).encode()


def object_of(names: list[str], row: list[str], begin: str) -> str:
    cells = zip(names, row, strict=True)
    return begin + ",".join(f'"{name}":{value}' for name, value in cells) + "}"


def ndjson_reader(wanted: Target, columns: tuple[str, ...]) -> NDJSONReader:
    kinds = elements_of(wanted)
    fields = [pa.field(n, feature_type(kinds.get(n))) for n in NAMES[id(wanted)]]
    return NDJSONReader(
        *(wanted, columns, (*fields, pa.field("id", pa.string()))),
        verbatim=True,
        is_whole=True,
        taken=frozenset({"error"}),
        limits=JSON_LIMITS,
    )


@settings(max_examples=200, deadline=None)
@example((WIDE, b'{"a":1,"b":2,"c":true,"d":"x","e":3,"f":1.5}\n' * 3))
@example((COLUMNS, b'{"age":1,"city":"x","visits":2,"id":5}\n' * 4))
@given(objects())
def test_ndjson_rows_mean_what_they_mean_in_predict(case: tuple[Target, bytes]) -> None:
    wanted, body = case
    names = (*NAMES[id(wanted)], "id")
    rest = whole_text(io.BytesIO(body))
    # Where no name is known beforehand, each line is read for itself.
    singly = read(ndjson_reader(wanted, ()), body, rest)
    for decoded, alone in zip(
        read(ndjson_reader(wanted, names), body, rest), singly, strict=True
    ):
        check_ndjson(decoded, wanted)
        assert decoded.faults == alone.faults
        assert decoded.block.lines.tolist() == alone.block.lines.tolist()
        pairs = zip(decoded.block.inputs(), alone.block.inputs(), strict=True)
        assert all(str(ours) == str(theirs) for ours, theirs in pairs)
        assert decoded.block.prefixes() == alone.block.prefixes()


def check_ndjson(decoded: Decoded, wanted: Target) -> None:
    """Against predict, which gets the rows one by one, and then the good ones."""
    assert isinstance(decoded.block, NDJSONBlock)
    texts = decoded.block.rows.texts()
    for at, text in enumerate(texts):
        alone = tensors_or_refusal(NDJSONRows(OPTIONS), text, wanted)
        is_taken = "a column of this name" in decoded.faults.get(at, ("", ""))[1]
        assert is_taken or isinstance(alone, str) == (at in decoded.faults), text
    good = b"\n".join(texts[at] for at in decoded.rows.tolist())
    if good:
        theirs = tensors_or_refusal(NDJSONRows(OPTIONS), good, wanted)
        assert isinstance(theirs, dict), theirs
        assert_same(decoded.tensors, theirs, good.decode())
