"""Bad input on every endpoint: a 4xx problem a person can act on, nothing left."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.config import Settings
from tests import graphs
from tests.calls import API, ONNX, upload
from tests.exports import load_export

MODELS = f"{API}/models"
UPLOAD = f"{MODELS}/upload"
PREDICT = f"{MODELS}/line/predict"
JSON = {"content-type": "application/json"}
NO_ID = "6d3b1e52-7d0b-4bb1-8f43-5d7a7f5f2c11"


def file_part(data: bytes, name: str = "m.onnx", field_name: str = "file") -> Any:
    return {"files": [(field_name, (name, data, ONNX))]}


def numbers(x: object) -> dict[str, Any]:
    return {"json": {"input_data": {"x": x}}}


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    path: str
    status: int
    says: str
    send: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


TWO_FILES = load_export("torch_digits_two_files").path.read_bytes()
TRUNCATED = graphs.affine()[:-20]
CASES = [
    # Bodies of a prediction
    Case("no body", "POST", PREDICT, 400, "no valid JSON"),
    Case("not JSON", "POST", PREDICT, 400, "no valid JSON", {"content": b"{x"}),
    Case("bare NaN", "POST", PREDICT, 400, '"NaN"', {"content": b'{"rows":[NaN]}'}),
    Case("a list", "POST", PREDICT, 400, "JSON object", {"json": [1]}),
    Case("no form", "POST", PREDICT, 400, "exactly one", {"json": {}}),
    Case(
        "two forms",
        "POST",
        PREDICT,
        400,
        "exactly one",
        {"json": {"features": {}, "rows": [{}]}},
    ),
    Case("missing input", "POST", PREDICT, 400, '"x"', {"json": {"input_data": {}}}),
    Case(
        "extra input",
        "POST",
        PREDICT,
        400,
        'no input "z"',
        {"json": {"input_data": {"x": [[1, 2, 3]], "z": 1}}},
    ),
    Case("text for numbers", "POST", PREDICT, 400, "x[0][1]", numbers([[1, "a", 2]])),
    Case("null", "POST", PREDICT, 400, "null", numbers([[1, None, 2]])),
    Case("ragged", "POST", PREDICT, 400, "ragged", numbers([[1, 2, 3], [1]])),
    Case("wrong width", "POST", PREDICT, 400, "[1, 2]", numbers([[1, 2]])),
    Case("wrong rank", "POST", PREDICT, 400, "[3]", numbers([1, 2, 3])),
    Case("too large", "POST", PREDICT, 400, "outside", numbers([[1e39, 1, 2]])),
    Case(
        "huge integer",
        "POST",
        f"{MODELS}/whole/predict",
        400,
        "outside the range of int64",
        numbers([2**63]),
    ),
    Case(
        "fraction for an integer",
        "POST",
        f"{MODELS}/whole/predict",
        400,
        "whole number",
        numbers([1.5]),
    ),
    Case(
        "very deep lists",
        "POST",
        PREDICT,
        400,
        "",
        {"content": b'{"input_data":{"x":' + b"[" * 500 + b"]" * 500 + b"}}"},
    ),
    Case("unnamed rows", "POST", PREDICT, 400, "register", {"json": {"rows": [{}]}}),
    Case(
        "unknown output",
        "POST",
        PREDICT,
        400,
        "it has y",
        {"json": {"input_data": {"x": [[1, 2, 3]]}, "outputs": ["q"]}},
    ),
    Case(
        "wrong content type",
        "POST",
        PREDICT,
        415,
        "application/json",
        {"content": b"x", "headers": {"content-type": "text/plain"}},
    ),
    Case(
        "answer in another type",
        "POST",
        PREDICT,
        406,
        "application/json",
        {**numbers([[1, 2, 3]]), "headers": {"accept": "image/png"}},
    ),
    Case(
        "body over the limit", "POST", PREDICT, 413, "1 MiB", {"content": b" " * 2**21}
    ),
    Case(
        "control body over the limit",
        "PATCH",
        f"{MODELS}/upload",
        413,
        "1 MiB",
        {"content": b" " * 2**21, "headers": JSON},
    ),
    # References
    Case("unknown name", "POST", f"{MODELS}/no/predict", 404, '"no"', numbers([1])),
    Case("unknown id", "GET", f"{MODELS}/{NO_ID}", 404, NO_ID),
    Case("unknown version", "GET", f"{MODELS}/line:9", 404, '"9"'),
    Case("unknown alias", "GET", f"{MODELS}/line@x", 404, '"x"'),
    Case("bad name", "GET", f"{MODELS}/-line", 422, "letters, digits"),
    Case("name of 200 letters", "GET", f"{MODELS}/{'a' * 200}", 422, "1 to 128"),
    Case("path in a name", "GET", f"{MODELS}/..%2F..%2Fetc", 404, ""),
    Case("NUL in a name", "GET", f"{MODELS}/a%00b", 422, "letters, digits"),
    Case("bad version", "GET", f"{MODELS}/line:1%200", 422, "1 to 50"),
    # Creating and changing
    Case("create: no name", "POST", MODELS, 422, "name", {"json": {}}),
    Case("create: bad name", "POST", MODELS, 422, "name", {"json": {"name": "a b"}}),
    Case(
        "create: unknown field",
        "POST",
        MODELS,
        422,
        "nam",
        {"json": {"name": "a", "nam": "b"}},
    ),
    Case(
        "create: there already",
        "POST",
        MODELS,
        409,
        "1.0.0",
        {"json": {"name": "line", "version": "1.0.0"}},
    ),
    Case(
        "create: not JSON",
        "POST",
        MODELS,
        400,
        "JSON",
        {"content": b"{", "headers": JSON},
    ),
    Case(
        "patch: nonsense",
        "PATCH",
        f"{MODELS}/line",
        422,
        "status",
        {"json": {"status": "x"}},
    ),
    Case("patch: not an object", "PATCH", f"{MODELS}/line", 400, "", {"json": [1]}),
    Case(
        "register: too few names",
        "POST",
        f"{MODELS}/line/register",
        422,
        "feature_names",
        {"json": {"feature_names": ["a"]}},
    ),
    Case(
        "register: names twice",
        "POST",
        f"{MODELS}/line/register",
        422,
        "feature_names",
        {"json": {"feature_names": ["a", "a", "b"]}},
    ),
    Case("page 0", "GET", f"{MODELS}?page=0", 422, "page"),
    Case("page of words", "GET", f"{MODELS}?page=x", 422, "page"),
    Case("list: unknown status", "GET", f"{MODELS}?status=great", 422, "status"),
    Case("validate without file", "POST", f"{MODELS}/empty/validate", 409, "upload"),
    Case("file of none", "GET", f"{MODELS}/empty/file", 404, "upload"),
    Case(
        "predict on pending",
        "POST",
        f"{MODELS}/empty/predict",
        409,
        "pending",
        numbers([1]),
    ),
    # Uploads
    Case(
        "upload: no multipart", "POST", UPLOAD, 415, "multipart/form-data", {"json": {}}
    ),
    Case("upload: no file", "POST", UPLOAD, 422, "file", {"files": {"x": (None, "1")}}),
    Case("upload: empty", "POST", UPLOAD, 422, "empty", file_part(b"")),
    Case("upload: text", "POST", UPLOAD, 422, "not an ONNX", file_part(b"hello " * 99)),
    Case("upload: truncated", "POST", UPLOAD, 422, "not an ONNX", file_part(TRUNCATED)),
    Case("upload: half of two", "POST", UPLOAD, 422, "data", file_part(TWO_FILES)),
    Case(
        "upload: bad version",
        "POST",
        UPLOAD,
        422,
        "version",
        {**file_part(graphs.add_one()), "data": {"version": "a b"}},
    ),
    Case(
        "upload: metadata no object",
        "POST",
        UPLOAD,
        422,
        "metadata",
        {**file_part(graphs.add_one()), "data": {"metadata": "[1]"}},
    ),
    Case(
        "upload: other content under a version",
        "POST",
        UPLOAD,
        409,
        "1.0.0",
        {**file_part(graphs.add_one()), "data": {"name": "line", "version": "1.0.0"}},
    ),
    Case(
        "upload: to a ready one",
        "POST",
        f"{MODELS}/line/upload",
        409,
        "ready",
        file_part(graphs.add_one()),
    ),
    Case(
        "upload: over the limit",
        "POST",
        UPLOAD,
        413,
        "2 MiB",
        file_part(b"x" * 3 * 2**20),
    ),
    # Scores, jobs, and what is not there
    Case(
        "score: two models",
        "POST",
        f"{API}/score",
        409,
        "is_default",
        {"json": {"features": {}, "x": 1}},
    ),
    Case(
        "score: no default",
        "POST",
        f"{API}/score",
        409,
        "is_default",
        {"json": {"features": {"a": 1}}},
    ),
    Case(
        "score batch: no list",
        "POST",
        f"{API}/score/batch",
        409,
        "is_default",
        {"json": {"rows": 1}},
    ),
    Case(
        "job: unknown model",
        "POST",
        f"{API}/jobs",
        404,
        '"no"',
        {"json": {"model_id": "no", "rows": [{}]}},
    ),
    Case(
        "job: no model",
        "POST",
        f"{API}/jobs",
        422,
        "model_id",
        {"json": {"rows": [{}]}},
    ),
    Case(
        "job: bad input",
        "POST",
        f"{API}/jobs",
        400,
        "x",
        {"json": {"model_id": "line", "input_data": {}}},
    ),
    Case("job: unknown id", "GET", f"{API}/jobs/{NO_ID}", 404, NO_ID),
    Case("job: no id", "GET", f"{API}/jobs/x", 404, "x"),
    Case("job: long wait", "GET", f"{API}/jobs/{NO_ID}/result?wait=99", 422, "wait"),
    Case("unknown route", "GET", f"{API}/nothing", 404, "/docs"),
    Case("wrong method", "PUT", f"{MODELS}/line", 405, "PATCH"),
    Case("wrong method on predict", "GET", PREDICT, 405, "POST"),
]


@pytest.fixture
def settings(
    make_settings: Callable[..., Settings], deployment: dict[str, str]
) -> Settings:
    return make_settings(**deployment, max_body_mb=1, max_upload_mb=2)


async def test_bad_input_is_a_problem_and_leaves_nothing(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await upload(client, graphs.affine(), name="line")
    await upload(client, graphs.int64_identity(), name="whole")
    await client.post(MODELS, json={"name": "empty"})
    before = await _state(client, settings.data_dir)
    wrong = [
        told
        for case in CASES
        if (told := _fault(case, await _send(client, case))) is not None
    ]
    assert not wrong, "\n".join(wrong)
    assert await _state(client, settings.data_dir) == before


async def _send(client: httpx.AsyncClient, case: Case) -> httpx.Response:
    return await client.request(case.method, case.path, **case.send)


def _fault(case: Case, response: httpx.Response) -> str | None:
    """What the answer lacks to be a problem that helps; None when it lacks nothing."""
    told = f"{case}: {response.status_code} {response.text[:500]}"
    if response.headers["content-type"] != "application/problem+json":
        return told
    body = response.json()
    is_whole = {"type", "title", "detail", "code", "request_id"} <= body.keys()
    helps = len(body["detail"]) > 15 and case.says in body["detail"]
    secrets = ("Traceback", "/tmp", "site-packages", "SELECT", "sqlalchemy")
    leaks = any(secret in response.text for secret in secrets)
    fits = response.status_code == body["status"] == case.status
    return None if is_whole and helps and fits and not leaks else told


async def _state(client: httpx.AsyncClient, data_dir: Path) -> tuple[Any, ...]:
    models = (await client.get(MODELS)).json()
    jobs = (await client.get(f"{API}/jobs")).json()
    return models, jobs, _files(data_dir)


def _files(data_dir: Path) -> set[Path]:
    return {*data_dir.glob("artifacts/*/*"), *data_dir.glob("staging/*")}
