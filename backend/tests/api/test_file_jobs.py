"""File jobs over HTTP, from upload to download, with a worker of each deployment."""

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from app.artifacts.job_files import STORE
from app.config import Settings
from tests import graphs
from tests.api.file_jobs import JOBS, completed, embedded_only, ended, send, submit
from tests.calls import problem_of, upload

ROWS = 50
# y = 2 x + 1 in each of its three places.
LINE = graphs.affine(feature_names=["a", "b", "c"])
NUMBERS = np.arange(3 * ROWS, dtype=np.float32).reshape(ROWS, 3)
CSV = b"id,a,b,c\n" + b"".join(
    f"r{i},{a:g},{b:g},{c:g}\n".encode() for i, (a, b, c) in enumerate(NUMBERS)
)
BAD = CSV.replace(b"r7,21,22,23", b"r7,21,x,23").replace(b"r9,27,28,29", b"r9,27,28")


@pytest.fixture(autouse=True)
async def line(client: httpx.AsyncClient) -> dict[str, Any]:
    return await upload(client, LINE, name="line")


def kept(settings: Settings) -> list[Path]:
    """The folders of jobs and whatever is still being received."""
    places = [settings.data_dir / "jobs", settings.data_dir / "staging"]
    found = [entry for place in places if place.is_dir() for entry in place.iterdir()]
    return [entry for entry in found if entry.name != STORE]


def predictions(text: str) -> np.ndarray[Any, Any]:
    rows = csv.DictReader(io.StringIO(text))
    return np.array([[row[f"y[{i}]"] for i in range(3)] for row in rows], np.float32)


async def download(
    client: httpx.AsyncClient, job_id: str, **headers: str
) -> httpx.Response:
    return await client.get(f"{JOBS}/{job_id}/result", headers=headers)


async def test_a_file_comes_back_with_its_predictions(
    client: httpx.AsyncClient, worker: None, line: dict[str, Any]
) -> None:
    job = await submit(client, CSV, name="my rows.csv", model_id="line")
    assert (job["kind"], job["status"]) == ("file", "queued")
    assert (job["model_id"], job["model_version"]) == (line["id"], "1.0.0")
    assert (job["format"], job["result_format"]) == ("csv", "csv")
    assert job["input_bytes"] == len(CSV)
    seen = await completed(client, job["id"])
    progress = seen["progress"]
    assert (progress["rows_done"], progress["rows_total"]) == (ROWS, ROWS)
    assert (progress["rows_failed"], progress["eta_seconds"]) == (0, 0)
    assert progress["rows_per_second"] > 0
    assert seen["chunks"]["done"] == seen["chunks"]["total"] >= 1
    assert seen["errors"] == []
    answer = await download(client, job["id"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "my%20rows-predictions.csv" in answer.headers["content-disposition"]
    assert answer.text.splitlines()[0] == "id,a,b,c,y[0],y[1],y[2],error"
    assert [row.split(",")[0] for row in answer.text.splitlines()[1:]] == [
        f"r{i}" for i in range(ROWS)
    ]
    np.testing.assert_array_equal(predictions(answer.text), 2 * NUMBERS + 1)


@embedded_only
async def test_the_stored_result_is_given_in_ranges_and_once(
    client: httpx.AsyncClient, worker: None
) -> None:
    job = await submit(client, CSV, model_id="line")
    await completed(client, job["id"])
    whole = await download(client, job["id"])
    etag = whole.headers["etag"]
    part = await download(client, job["id"], range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    end = await download(client, job["id"], range="bytes=-5", **{"if-range": etag})
    assert (end.status_code, end.content) == (206, whole.content[-5:])
    known = await download(client, job["id"], **{"if-none-match": etag})
    assert (known.status_code, known.content) == (304, b"")
    beyond = await download(client, job["id"], range="bytes=999999-")
    problem_of(beyond, 416, "range_not_satisfiable")
    head = await client.head(f"{JOBS}/{job['id']}/result")
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.content == b""


FORMATS = {
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
    "text/csv": "csv",
}


def as_table(body: bytes, format_: str) -> pa.Table:
    match format_:
        case "parquet":
            return pq.read_table(io.BytesIO(body))
        case "arrow":
            return pa.ipc.open_stream(body).read_all()
    return pa.json.read_json(io.BytesIO(body))


@embedded_only
@pytest.mark.parametrize("stored", ["csv", "parquet"])
async def test_the_result_is_given_in_every_format_that_is_asked_for(
    client: httpx.AsyncClient, worker: None, stored: str
) -> None:
    job = await submit(client, BAD, model_id="line", output_format=stored)
    await completed(client, job["id"])
    for media_type, format_ in FORMATS.items():
        answer = await download(client, job["id"], accept=media_type)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(media_type)
        assert f"rows-predictions.{format_}" in answer.headers["content-disposition"]
        assert ("etag" in answer.headers) is (format_ == stored)
        named = await client.get(f"{JOBS}/{job['id']}/result?format={format_}")
        assert named.content == answer.content
        if format_ == "csv":
            assert answer.text.splitlines()[1].split(",")[4:] == [
                "1.0",
                "3.0",
                "5.0",
                "",
            ]
            continue
        table = as_table(answer.content, format_)
        assert table.column_names == ["id", "a", "b", "c", "y", "error"]
        values = table["y"].to_pylist()
        assert [i for i, value in enumerate(values) if value is None] == [7, 9]
        good = [i for i in range(ROWS) if i not in {7, 9}]
        found = np.array([values[i] for i in good], np.float32)
        np.testing.assert_array_equal(found, 2 * NUMBERS[good] + 1)


@embedded_only
async def test_another_type_is_not_acceptable_and_the_offer_is_named(
    client: httpx.AsyncClient, worker: None
) -> None:
    job = await submit(client, CSV, model_id="line")
    await completed(client, job["id"])
    detail = problem_of(
        await download(client, job["id"], accept="image/png"), 406, "not_acceptable"
    )
    for media_type in FORMATS:
        assert media_type in detail
    wrong = await client.get(f"{JOBS}/{job['id']}/result?format=xlsx")
    problem_of(wrong, 422, "invalid_field")


async def test_failed_rows_are_told_with_line_column_and_reason(
    client: httpx.AsyncClient, worker: None
) -> None:
    job = await submit(client, BAD, model_id="line")
    seen = await completed(client, job["id"])
    assert seen["progress"]["rows_failed"] == 2
    first, second = seen["errors"]
    assert (first["line"], first["column"]) == (9, "b")
    assert '"x"' in first["reason"]
    assert second["line"] == 11
    at = f"{JOBS}/{job['id']}/errors"
    errors = await client.get(at)
    assert errors.headers["content-type"] == "application/x-ndjson"
    assert "rows-errors.ndjson" in errors.headers["content-disposition"]
    lines = [json.loads(line) for line in errors.text.splitlines()]
    assert lines == [first, {**second, "text": "r9,27,28"}]
    part = await client.get(at, headers={"range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, errors.content[:10])
    text = (await client.get(at, headers={"accept": "text/csv"})).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["line"] for row in rows] == ["9", "11"]
    assert rows[0]["reason"] == first["reason"]


@embedded_only
async def test_where_no_row_failed_the_errors_are_empty(
    client: httpx.AsyncClient, worker: None
) -> None:
    job = await submit(client, CSV, model_id="line")
    await completed(client, job["id"])
    errors = await client.get(f"{JOBS}/{job['id']}/errors")
    assert (errors.status_code, errors.content) == (200, b"")
    text = await client.get(
        f"{JOBS}/{job['id']}/errors", headers={"accept": "text/csv"}
    )
    assert text.text == "line,column,reason\n"


async def test_a_job_that_may_have_no_failed_row_fails_with_the_first(
    client: httpx.AsyncClient, worker: None
) -> None:
    for options in ({"on_error": "fail"}, {"max_failed_rows": "1"}):
        job = await submit(client, BAD, model_id="line", **options)
        seen = await ended(client, job["id"])
        assert seen["status"] == "failed"
        assert seen["error_message"]
        result = await client.get(f"{JOBS}/{job['id']}/result")
        assert (result.status_code, result.json()) == (200, seen)
        errors = await client.get(f"{JOBS}/{job['id']}/errors")
        assert errors.status_code == 200
        lines = [json.loads(line) for line in errors.text.splitlines()]
        told = [(line["line"], line["column"], line["reason"]) for line in lines]
        assert told == [tuple(error.values()) for error in seen["errors"]]
        assert len(lines) == seen["progress"]["rows_failed"]


@embedded_only
async def test_chosen_inputs_and_outputs_make_up_the_result(
    client: httpx.AsyncClient, worker: None
) -> None:
    some = await submit(client, CSV, model_id="line", include_inputs="id")
    none = await submit(
        client, CSV, model_id="line", include_inputs="none", outputs="y"
    )
    for job, header in (
        (some, "id,y[0],y[1],y[2],error"),
        (none, "y[0],y[1],y[2],error"),
    ):
        await completed(client, job["id"])
        answer = await download(client, job["id"])
        assert answer.text.splitlines()[0] == header


WRONG: list[tuple[bytes, dict[str, str], int, str, str]] = [
    (CSV.replace(b"id,a,b,c", b"id,a,b,x"), {}, 400, "missing_features", "c"),
    (b"", {}, 400, "invalid_request", "empty"),
    (b"id,a,b,c\n", {}, 400, "invalid_request", "row"),
    (CSV, {"model_id": "absent"}, 404, "model_not_found", "absent"),
    (CSV, {"model_id": "no such"}, 422, "invalid_field", "no such"),
    (CSV, {"outputs": "z"}, 400, "invalid_request", "z"),
    (CSV, {"include_inputs": "z"}, 400, "invalid_request", "z"),
    (CSV, {"include_rows": "z"}, 422, "invalid_field", "include_inputs"),
    (CSV, {"format": "parquet"}, 400, "invalid_request", "parquet"),
    (CSV, {"webhook_url": "https://a.example"}, 422, "invalid_field", "JOB_WEBHOOK"),
]


async def test_what_can_not_be_scored_is_refused_at_once_and_leaves_nothing(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    for content, fields, status, code, named in WRONG:
        response = await send(client, content, **{"model_id": "line", **fields})
        assert named in problem_of(response, status, code)
    assert (await client.get(JOBS)).json()["total"] == 0
    assert kept(settings) == []


@embedded_only
async def test_a_file_of_no_known_kind_is_refused(client: httpx.AsyncClient) -> None:
    response = await send(client, CSV, name="rows.txt", model_id="line")
    assert ".csv" in problem_of(response, 415, "unsupported_media_type")
    taken = await send(client, CSV, name="rows.txt", model_id="line", format="csv")
    assert taken.status_code == 201


@embedded_only
async def test_an_object_of_the_inbox_is_scored(
    client: httpx.AsyncClient, settings: Settings, worker: None
) -> None:
    inbox = settings.data_dir / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "rows.csv").write_bytes(CSV)
    fields = {"model_id": "line", "source": "rows.csv"}
    # A form without a file, as curl -F sends it.
    files = {name: (None, text) for name, text in fields.items()}
    response = await client.post(JOBS, files=files)
    assert response.status_code == 201, response.text
    await completed(client, response.json()["id"])


@embedded_only
async def test_a_dry_run_estimates_and_keeps_nothing(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    response = await send(client, BAD, model_id="line", dry_run="true", key="k")
    assert response.status_code == 200
    told = response.json()
    assert set(told) == {"rows", "seconds", "result_bytes", "sample"}
    assert told["rows"] == pytest.approx(ROWS, rel=0.1)
    assert told["seconds"] >= 0
    assert told["result_bytes"] > 0
    assert told["sample"][0]["y"] == [1.0, 3.0, 5.0]
    assert (await client.get(JOBS)).json()["total"] == 0
    assert kept(settings) == []


async def test_the_history_tells_the_file_and_what_was_asked(
    client: httpx.AsyncClient,
) -> None:
    plain = await submit(client, CSV, model_id="line")
    chosen = await submit(
        client,
        CSV,
        name="märz.csv",
        model_id="line",
        outputs="y",
        include_inputs="id",
        on_error="fail",
        max_failed_rows="7",
        chunk_rows="20",
    )
    none = await submit(client, CSV, model_id="line", include_inputs="none")
    body = {"model_id": "line", "input_data": {"x": [[1.0, 2.0, 3.0]]}}
    prediction = (await client.post(JOBS, json=body)).json()
    listed = {job["id"]: job for job in (await client.get(JOBS)).json()["items"]}
    told = listed[chosen["id"]]
    assert told["input_name"] == "märz.csv"
    assert told["input_sha256"] == hashlib.sha256(CSV).hexdigest()
    assert told["options"] == {
        "outputs": ["y"],
        "include_inputs": ["id"],
        "on_error": "fail",
        "max_failed_rows": 7,
        "chunk_rows": 20,
    }
    options = listed[plain["id"]]["options"]
    assert options.pop("chunk_rows") > 0
    assert options == {
        "outputs": None,
        "include_inputs": "all",
        "on_error": "record",
        "max_failed_rows": None,
    }
    assert listed[none["id"]]["options"]["include_inputs"] == "none"
    for name in ("input_name", "input_sha256", "options"):
        assert listed[prediction["id"]][name] is None


async def test_jobs_are_listed_by_kind(client: httpx.AsyncClient) -> None:
    await submit(client, CSV, model_id="line")
    body = {"model_id": "line", "input_data": {"x": [[1.0, 2.0, 3.0]]}}
    assert (await client.post(JOBS, json=body)).status_code == 201
    for kind in ("file", "prediction"):
        found = (await client.get(JOBS, params={"kind": kind})).json()
        assert [job["kind"] for job in found["items"]] == [kind]
    assert (await client.get(JOBS)).json()["total"] == 2


async def test_failed_rows_are_retried_and_a_deleted_job_leaves_no_file(
    client: httpx.AsyncClient, settings: Settings, worker: None
) -> None:
    job = await submit(client, BAD, model_id="line", chunk_rows="10")
    at = f"{JOBS}/{job['id']}"
    await completed(client, job["id"])
    first = await download(client, job["id"])
    for body in ({}, {"rows": "failed"}, {"rows": "all"}):
        again = await client.post(f"{at}/retry", json=body)
        assert again.status_code == 200, again.text
        assert again.json()["status"] in {"queued", "running"}
        assert (await completed(client, job["id"]))["progress"]["rows_failed"] == 2
        assert (await download(client, job["id"])).content == first.content
    assert (await client.get(at)).json()["retries"] == 3
    assert (await client.delete(at)).status_code == 204
    problem_of(await client.get(at), 404, "job_not_found")
    assert kept(settings) == []


@embedded_only
async def test_a_wrong_retry_is_refused(client: httpx.AsyncClient) -> None:
    job = await submit(client, CSV, model_id="line")
    at = f"{JOBS}/{job['id']}/retry"
    for body in ({"rows": "some"}, {"rows": 1}, {"lines": "all"}):
        problem_of(await client.post(at, json=body), 422, "invalid_field")
    problem_of(await client.post(at, json=[]), 400, "invalid_request")


@embedded_only
async def test_a_job_without_failed_rows_has_nothing_to_retry(
    client: httpx.AsyncClient, worker: None
) -> None:
    job = await submit(client, CSV, model_id="line")
    await completed(client, job["id"])
    problem_of(await client.post(f"{JOBS}/{job['id']}/retry"), 409, "state_forbids")


@embedded_only
async def test_a_prediction_has_no_errors_file(
    client: httpx.AsyncClient, worker: None
) -> None:
    body = {"model_id": "line", "input_data": {"x": [[1.0, 2.0, 3.0]]}}
    job = (await client.post(JOBS, json=body)).json()
    await completed(client, job["id"])
    problem_of(await client.get(f"{JOBS}/{job['id']}/errors"), 409, "state_forbids")


async def test_a_file_that_cannot_be_read_is_not_kept(
    client: httpx.AsyncClient, worker: None, settings: Settings
) -> None:
    random = np.random.default_rng(2).integers(0, 99, size=(200_000, 3))
    lines = b"".join(b"%d,%d,%d\n" % tuple(row) for row in random.tolist())
    packed = gzip.compress(b"a,b,c\n" + lines)
    cut = packed[: len(packed) * 9 // 10]
    job = await submit(client, cut, name="x.csv.gz", model_id="line")
    seen = await ended(client, job["id"])
    assert (seen["status"], seen["error_code"]) == ("failed", "invalid_file")
    at = f"{JOBS}/{job['id']}"
    detail = problem_of(await client.post(f"{at}/retry"), 409, "state_forbids")
    assert "submit it again" in detail
    assert not (settings.data_dir / "jobs" / job["id"] / "input").exists()


async def test_why_a_job_failed_at_a_row_is_one_sentence(
    client: httpx.AsyncClient, worker: None
) -> None:
    options = {"model_id": "line", "on_error": "fail"}
    job = await submit(client, BAD, name="x.csv", **options)
    seen = await ended(client, job["id"])
    assert seen["error_code"] == "rows_failed"
    assert 'the string "x"; mend the file' in seen["error_message"]
