"""Files for jobs: whatever the client sends, kept whole or refused and gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request

from app.api.job_form import FileForm
from app.api.job_upload import Check, receive_file
from app.artifacts.job_files import JobFiles
from app.datasets.base import FileRequest, Included
from app.enums import FileFormat, OnError, Priority
from app.errors import (
    InvalidField,
    InvalidRequest,
    MLForgeError,
    ModelNotFound,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from tests.api.uploads import PartSpec, cut, encode, receive_of, request_of

LIMIT_BYTES = 1 << 20
ROWS = b"a,b\r\n1,2\r\n--b0undar\r\n3,4\r\n"
FILE = PartSpec("file", ROWS, "rows.csv")
MODEL = PartSpec("model_id", b"wine")


@dataclass(frozen=True, slots=True)
class Taken:
    content: bytes
    form: FileForm
    name: str


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return JobFiles(tmp_path / "data")


@pytest.fixture(autouse=True)
def no_staging_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    staging = tmp_path / "data" / "staging"
    assert not staging.is_dir() or not list(staging.iterdir())


async def no_check(_: FileForm) -> None:
    return


async def take(
    files: JobFiles,
    request: Request,
    *,
    idle_timeout_s: float = 30,
    check: Check | None = None,
) -> Taken:
    async with receive_file(
        request,
        files,
        no_check if check is None else check,
        limit_bytes=LIMIT_BYTES,
        idle_timeout_s=idle_timeout_s,
    ) as received:
        content = received.incoming.path.read_bytes()
        assert received.incoming.size_bytes == len(content)
        return Taken(content, received.form, received.name)


async def take_parts(files: JobFiles, *parts: PartSpec) -> Taken:
    return await take(files, request_of([encode(*parts)]))


async def refused(files: JobFiles, *parts: PartSpec) -> str:
    with pytest.raises(InvalidField) as caught:
        await take_parts(files, *parts)
    return caught.value.detail


@pytest.mark.parametrize("parts", [(MODEL, FILE), (FILE, MODEL)])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_a_file_comes_through_in_any_rhythm_and_order(
    files: JobFiles, parts: tuple[PartSpec, ...], size: int
) -> None:
    taken = await take(files, request_of(cut(encode(*parts), size)))
    assert taken == Taken(
        ROWS,
        FileForm(FileRequest("wine"), Priority.NORMAL, None, None, False, None),
        "rows.csv",
    )


async def test_every_option_is_read(files: JobFiles) -> None:
    fields = {
        "outputs": '["label", "with, comma"]',
        "include_inputs": "id, name",
        "on_error": "FAIL",
        "max_failed_rows": "0",
        "chunk_rows": " 500 ",
        "priority": "high",
        "format": "csv",
        "output_format": "parquet",
        "dry_run": "true",
        "webhook_url": "https://hooks.example/done",
    }
    parts = [PartSpec(name, text.encode()) for name, text in fields.items()]
    form = (await take_parts(files, MODEL, FILE, *parts)).form
    assert form == FileForm(
        FileRequest(
            "wine",
            outputs=("label", "with, comma"),
            include_inputs=Included(("id", "name")),
            result_format=FileFormat.PARQUET,
            on_error=OnError.FAIL,
            max_failed_rows=0,
            chunk_rows=500,
        ),
        Priority.HIGH,
        FileFormat.CSV,
        None,
        True,
        "https://hooks.example/done",
    )


@pytest.mark.parametrize(
    ("text", "included"),
    [
        (b"all", Included()),
        (b"", Included()),
        (b"none", Included(())),
        (b'["all"]', Included(("all",))),
    ],
)
async def test_included_columns_are_all_none_or_named(
    files: JobFiles, text: bytes, included: Included
) -> None:
    form = (await take_parts(files, MODEL, FILE, PartSpec("include_inputs", text))).form
    assert form.request.include_inputs == included


WRONG = [
    ("outputs", b"a,,b", "empty name"),
    ("outputs", b"a,b,a", '"a" twice'),
    ("outputs", b'["a", 1]', 'list such as a,b or ["a", "b"]'),
    ("outputs", b'["a"', 'list such as a,b or ["a", "b"]'),
    ("outputs", b"[]", "empty name"),
    ("include_inputs", b",", "empty name"),
    ("on_error", b"ignore", "record, fail"),
    ("max_failed_rows", b"-1", "whole number from 0"),
    ("max_failed_rows", b"many", "whole number from 0"),
    ("chunk_rows", b"0", "whole number from 1"),
    ("chunk_rows", b"1e3", "whole number from 1"),
    ("chunk_rows", "\u0662".encode(), "whole number from 1"),
    ("chunk_rows", b"9" * 5000, "whole number from 1"),
    ("priority", b"urgent", "low, normal, high"),
    ("format", b"xlsx", "csv, ndjson, parquet, arrow"),
    ("output_format", b"xlsx", "csv, ndjson, parquet, arrow"),
    ("dry_run", b"perhaps", "true or false"),
]


@pytest.mark.parametrize(("field", "text", "wanted"), WRONG)
async def test_a_field_that_breaks_its_rule_is_named(
    files: JobFiles, field: str, text: bytes, wanted: str
) -> None:
    detail = await refused(files, MODEL, FILE, PartSpec(field, text))
    assert detail.startswith(f"{field}: ")
    assert wanted in detail
    assert len(detail) < 400


async def test_what_is_wrong_before_the_file_is_told_before_it_has_come(
    files: JobFiles,
) -> None:
    async def refuse(form: FileForm) -> None:
        raise ModelNotFound(form.request.ref)

    # The body stops within the file, and waiting for more of it would never end.
    begun = receive_of([encode(MODEL, FILE)[:-30]], stall=True)
    with pytest.raises(ModelNotFound):
        await take(files, request_of([], receive=begun), check=refuse)
    wrong = PartSpec("chunk_rows", b"0")
    begun = receive_of([encode(MODEL, wrong, FILE)[:-30]], stall=True)
    with pytest.raises(InvalidField):
        await take(files, request_of([], receive=begun))


async def test_a_missing_model_is_named(files: JobFiles) -> None:
    assert "model_id: is missing" in await refused(files, FILE)


async def test_an_unknown_field_is_refused_naming_the_known_ones(
    files: JobFiles,
) -> None:
    detail = await refused(files, MODEL, PartSpec("modle", b"x"), FILE)
    assert detail.startswith("modle: ")
    assert "model_id" in detail
    assert "max_failed_rows" in detail


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((MODEL,), "neither"),
        ((MODEL, FILE, FILE), "two files"),
        ((MODEL, PartSpec("file", b"x,y")), "with the @"),
        ((MODEL, PartSpec("file", b"")), "neither"),
        ((MODEL, MODEL, FILE), "twice"),
        ((MODEL, PartSpec("model_id", b"m", "m.txt"), FILE), "came as a file"),
        ((MODEL, FILE, PartSpec("source", b"a.csv")), "both"),
    ],
)
async def test_a_form_without_exactly_one_file_is_refused(
    files: JobFiles, parts: tuple[PartSpec, ...], words: str
) -> None:
    assert words in await refused(files, *parts)


@pytest.mark.parametrize(
    "parts",
    [
        (MODEL, PartSpec("file", b"x" * LIMIT_BYTES, "rows.csv")),
        (PartSpec("model_id", b"x" * (65 << 10)), FILE),
        (PartSpec("include_inputs", b"x" * (5 << 20)), FILE),
        (*[PartSpec("file", b"")] * 40, FILE),
    ],
)
async def test_too_much_is_refused(
    files: JobFiles, parts: tuple[PartSpec, ...]
) -> None:
    with pytest.raises(PayloadTooLarge):
        await take(files, request_of(cut(encode(*parts), 1 << 16)))


async def test_a_declared_size_over_the_limit_is_refused_at_once(
    files: JobFiles,
) -> None:
    headers = [("content-length", str(LIMIT_BYTES + 1))]
    with pytest.raises(PayloadTooLarge) as caught:
        await take(files, request_of([], headers=headers))
    assert "JOB_MAX_INPUT_MB" in caught.value.detail


async def test_a_client_that_hangs_up_leaves_nothing(files: JobFiles) -> None:
    receive = receive_of(
        [encode(MODEL, FILE)[:-40]], ending={"type": "http.disconnect"}
    )
    with pytest.raises(ClientDisconnect):
        await take(files, request_of([], receive=receive))


async def test_a_client_that_stands_still_is_cut(files: JobFiles) -> None:
    receive = receive_of([encode(MODEL, FILE)[:-40]], stall=True)
    with pytest.raises(RequestTimeout):
        await take(files, request_of([], receive=receive), idle_timeout_s=0.05)


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (encode(MODEL, FILE)[:-20], None, InvalidRequest),
        (b"no form at all", None, InvalidRequest),
        (encode(MODEL, FILE), "multipart/form-data", InvalidRequest),
        (encode(MODEL, FILE), "text/csv", UnsupportedMediaType),
    ],
)
async def test_a_body_that_is_no_form_is_refused(
    files: JobFiles, body: bytes, content_type: str | None, error: type[MLForgeError]
) -> None:
    request = request_of([body])
    if content_type is not None:
        request = request_of([body], content_type=content_type)
    with pytest.raises(error):
        await take(files, request)


async def test_a_source_is_copied_from_the_inbox(
    files: JobFiles, tmp_path: Path
) -> None:
    inbox = tmp_path / "data" / "inbox" / "january"
    inbox.mkdir(parents=True)
    (inbox / "rows.csv").write_bytes(ROWS)
    taken = await take_parts(files, MODEL, PartSpec("source", b"january/rows.csv"))
    assert (taken.content, taken.name) == (ROWS, "rows.csv")
    assert (inbox / "rows.csv").read_bytes() == ROWS


@pytest.mark.parametrize(
    "name", ["../mlforge.db", "/etc/passwd", "a/../../b", ".", "absent.csv", "a\0b"]
)
async def test_a_source_outside_of_the_inbox_is_refused(
    files: JobFiles, tmp_path: Path, name: str
) -> None:
    (tmp_path / "data" / "inbox").mkdir(parents=True)
    (tmp_path / "data" / "mlforge.db").write_bytes(b"secret")
    detail = await refused(files, MODEL, PartSpec("source", name.encode()))
    assert detail.startswith("source: ")
    assert str(tmp_path) not in detail


async def test_a_link_out_of_the_inbox_is_refused(
    files: JobFiles, tmp_path: Path
) -> None:
    inbox = tmp_path / "data" / "inbox"
    inbox.mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (inbox / "rows.csv").symlink_to(tmp_path / "secret")
    await refused(files, MODEL, PartSpec("source", b"rows.csv"))
