"""The OpenAPI document is whole, its examples run, its pages need no internet."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import httpx
import pytest

from app.cli.example import load_example
from app.main import create_app
from app.schemas import examples
from app.schemas.examples import FEATURES
from tests import graphs
from tests.calls import upload
from tests.conftest import MakeSettings

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(make_settings: MakeSettings) -> dict[str, Any]:
    return create_app(make_settings()).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_every_call_of_the_contract_is_documented(document: dict[str, Any]) -> None:
    known = {f"{method.upper()} {path}" for path, method, _ in operations(document)}
    models = "/api/v1/models"
    assert known >= {
        f"POST {models}",
        f"GET {models}",
        f"POST {models}/upload",
        f"POST {models}/{{ref}}/upload",
        f"POST {models}/{{ref}}/validate",
        f"POST {models}/{{ref}}/register",
        f"POST {models}/{{ref}}/predict",
        f"GET {models}/{{ref}}",
        f"PATCH {models}/{{ref}}",
        f"DELETE {models}/{{ref}}",
        f"DELETE {models}/{{ref}}/cache",
        f"GET {models}/{{ref}}/file",
        f"GET {models}/{{ref}}/openapi.json",
        f"GET {models}/by-name/{{name}}/versions",
        f"GET {models}/by-name/{{name}}/latest",
        "POST /api/v1/score",
        "POST /api/v1/score/batch",
        "GET /api/v1/cache/metrics",
        "POST /api/v1/cache/metrics/reset",
        "POST /api/v1/jobs",
        "GET /api/v1/jobs",
        "GET /api/v1/jobs/{job_id}",
        "GET /api/v1/jobs/{job_id}/result",
        "GET /api/v1/jobs/{job_id}/errors",
        "GET /api/v1/jobs/{job_id}/events",
        "POST /api/v1/jobs/{job_id}/cancel",
        "POST /api/v1/jobs/{job_id}/retry",
        "DELETE /api/v1/jobs/{job_id}",
        "GET /health",
        "GET /api/v1/health",
        "GET /api/v1/ready",
        "GET /api/v1/live",
        "GET /metrics",
        "GET /v2",
        "GET /v2/health/live",
        "GET /v2/health/ready",
        "GET /v2/models",
        "GET /v2/models/stats",
        "GET /v2/models/{name}",
        "POST /v2/models/{name}/infer",
        "POST /v2/models/{name}/versions/{version}/infer",
        "GET /v2/models/{name}/versions/{version}/config",
        "POST /v2/repository/index",
        "POST /v2/repository/models/{name}/load",
        "POST /v2/repository/models/{name}/unload",
    }


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    seen = set()
    for path, method, operation in operations(document):
        assert operation["summary"], f"{method} {path}"
        assert operation["tags"], f"{method} {path}"
        assert operation["operationId"] not in seen, operation["operationId"]
        seen.add(operation["operationId"])


def test_errors_are_documented_as_they_come(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        is_oip = path.startswith("/v2")
        wanted = "application/json" if is_oip else "application/problem+json"
        named = "OipError" if is_oip else "Problem"
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                assert set(response["content"]) == {wanted}, f"{method} {path}"
                schema = response["content"][wanted]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{named}"}
                assert not (is_oip and status == "422"), f"{method} {path}"


TYPED = [
    ("post", "/api/v1/models"),
    ("patch", "/api/v1/models/{ref}"),
    ("post", "/api/v1/models/{ref}/register"),
    ("put", "/api/v1/models/by-name/{name}/aliases/{alias}"),
    ("post", "/api/v1/jobs"),
]


@pytest.mark.parametrize(("method", "path"), TYPED)
def test_what_a_json_body_may_lead_to_is_documented(
    document: dict[str, Any], method: str, path: str
) -> None:
    responses = document["paths"][path][method]["responses"]
    assert {"400", "413", "415", "422"} <= set(responses)


@pytest.mark.parametrize(
    "path", ["/api/v1/models/upload", "/api/v1/models/{ref}/upload"]
)
def test_uploads_have_an_example_of_their_form(
    document: dict[str, Any], path: str
) -> None:
    body = document["paths"][path]["post"]["requestBody"]["content"]
    schema = body["multipart/form-data"]["schema"]
    assert schema["example"]["file"]
    assert set(schema["example"]) <= set(schema["properties"])


def test_head_is_not_documented_beside_get(document: dict[str, Any]) -> None:
    assert not [path for path, item in document["paths"].items() if "head" in item]


def test_empty_answers_are_documented_as_empty(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        empty = operation["responses"].get("204", {})
        assert "content" not in empty, f"{method} {path}"


async def test_the_document_of_a_model_tells_of_every_field_of_its_answers(
    client: httpx.AsyncClient,
) -> None:
    line = graphs.affine(feature_names=["a", "b", "c"])
    for name, model, takes_rows in (
        ("line", line, True),
        ("two", graphs.two_inputs(), False),
    ):
        await upload(client, model, name=name)
        document = (await client.get(f"/api/v1/models/{name}/openapi.json")).json()
        ((_, item),) = document["paths"].items()
        responses = item["post"]["responses"]
        answer = responses["200"]["content"]["application/json"]["schema"]
        assert "request_id" in answer["properties"]
        for field in ("predictions", "ignored_features"):
            assert (field in answer["properties"]) is takes_rows
        assert not answer["properties"]["output_data"].get("required")
        for status in ("400", "404", "409", "413", "415", "503", "504"):
            (schema,) = responses[status]["content"].values()
            assert schema["schema"]["$ref"] == "#/components/schemas/Problem"
        assert document["components"]["schemas"]["Problem"]["properties"]["detail"]
        assert "$defs" not in str(document)


async def test_the_examples_run_on_the_example_model(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    example = load_example()
    assert example.body == {"features": FEATURES}
    await upload(client, example.model, name=example.name)
    key = {"name": "example", "scopes": ["predict"]}
    made = (await client.post("/api/v1/keys", json=key)).json()
    ran = 0
    for path, method, operation in operations(document):
        for body in examples_of(operation, document):
            call = path.format(**examples.PARAMETERS, key_id=made["id"])
            answer = await client.request(method, call, json=body)
            assert answer.status_code < 300, f"{method} {call}: {answer.text}"
            ran += 1
    assert ran >= 9


def examples_of(operation: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = document["components"]["schemas"].get(name, schema)
    return schema.get("examples") or [schema[k] for k in ("example",) if k in schema]


async def test_calls_that_need_only_a_path_run_too(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    example = load_example()
    await upload(client, example.model, name=example.name)
    alias = "/api/v1/models/by-name/wine/aliases/production"
    assert (await client.put(alias, json={"version": "1.0.0"})).status_code == 200
    for path, method, _ in operations(document):
        if method == "get" and not re.search("{(job|key)_id}", path):
            call = path.format(**examples.PARAMETERS)
            answer = await client.get(call)
            assert answer.status_code == 200, f"{call}: {answer.text}"


async def test_the_example_of_every_model_runs(client: httpx.AsyncClient) -> None:
    for name, model in [
        ("line", graphs.affine(feature_names=["a", "b", "c"])),
        ("columns", graphs.columns()),
        ("two", graphs.two_inputs()),
        ("upper", graphs.strings_upper()),
        ("half", graphs.float16_double()),
        ("brain", graphs.bf16_identity()),
        ("scalar", graphs.scalar()),
    ]:
        model_id = (await upload(client, model, name=name))["id"]
        path = f"/api/v1/models/{model_id}"
        document = (await client.get(f"{path}/openapi.json")).json()
        ((call, item),) = document["paths"].items()
        body = item["post"]["requestBody"]["content"]["application/json"]
        shown = [example["value"] for example in body["examples"].values()]
        assert shown
        for example in shown:
            answer = await client.post(call, json=example)
            assert answer.status_code == 200, f"{name}: {answer.text}"


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_pages_load_nothing_from_elsewhere(
    client: httpx.AsyncClient, page: str
) -> None:
    html = (await client.get(page)).text
    assets = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(assets) >= 2
    for asset in assets:
        assert asset.startswith("/"), asset
        assert (await client.get(asset)).status_code == 200


async def test_the_root_leads_to_a_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", follow_redirects=True)
    assert answer.status_code == 200
    assert "html" in answer.headers["content-type"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_runs_its_own_scripts_and_no_others(
    client: httpx.AsyncClient, page: str
) -> None:
    answer = await client.get(page)
    directives = [
        part.split() for part in answer.headers["content-security-policy"].split(";")
    ]
    policy = {name: set(values) for name, *values in directives}
    inline = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    hashes = {
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        for script in inline
    }
    assert policy["script-src"] == {"'self'"} | hashes
    assert policy["default-src"] == {"'self'"}
    assert policy["frame-ancestors"] == policy["object-src"] == {"'none'"}
    assert policy["img-src"] == {"'self'", "data:"}
    assert answer.headers["referrer-policy"] == "same-origin"
