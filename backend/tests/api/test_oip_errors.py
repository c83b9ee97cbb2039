"""Bad input over the Open Inference Protocol: a 4xx with `{"error"}`, never 422 or 500."""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from app.config import Settings
from tests import graphs
from tests.api.oip_calls import HEADER, LINE, error_of, fp32
from tests.calls import API, upload
from tests.conftest import MakeSettings

INFER = "/v2/models/line/infer"
X = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
SIZED = {**X, "parameters": {"binary_data_size": 12}}
del SIZED["data"]


@pytest.fixture
def settings(make_settings: MakeSettings, sqlite_dsn: str) -> Settings:
    # What is on the wire is the same in every deployment.
    return make_settings(database_url=sqlite_dsn, max_body_mb=1)


@pytest.fixture(autouse=True)
async def models(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.affine(), name="line")
    await upload(client, graphs.int64_identity(), name="whole")
    await upload(client, graphs.two_inputs(), name="two")


@dataclass(frozen=True)
class Case:
    name: str
    says: str
    body: bytes | Mapping[str, Any]
    path: str = INFER
    status: int = 400
    code: str = "invalid_request"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        body = self.body
        return body if isinstance(body, bytes) else json.dumps(body).encode()


def x(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**X, **changes}]}


def framed(
    name: str, says: str, head: Mapping[str, Any], blob: bytes, **more: Any
) -> Case:
    text = json.dumps(head).encode()
    length = more.pop("length", str(len(text)))
    return Case(name, says, text + blob, headers={HEADER: length}, **more)


INPUT = "invalid_input"
WHOLE = "/v2/models/whole/infer"
TWO = "/v2/models/two/infer"
BOMB = b"\0" * 2**21
CASES = [
    Case("no body", "no valid JSON", b"", code="invalid_json"),
    Case("not JSON", "no valid JSON", b"{x", code="invalid_json"),
    Case("a list", "JSON object", b"[]"),
    Case("bare NaN as the body", "JSON object", b"NaN"),
    Case("no inputs", "inputs must be a list", {}),
    Case("inputs of a wrong kind", "inputs must be a list", {"inputs": {}}),
    Case("an input that is a number", "inputs[0]", {"inputs": [1]}),
    Case("an input without a name", "name must be", {"inputs": [{}]}),
    Case("an unknown input", 'no input "z"', x(name="z"), code=INPUT),
    Case(
        "a missing input",
        '"b" is missing',
        {"inputs": [fp32("a", [[1, 2]])]},
        TWO,
        code=INPUT,
    ),
    Case("an input twice", "twice", {"inputs": [X, X]}),
    Case("a wrong datatype", "FP32", x(datatype="INT64"), code=INPUT),
    Case("an unknown datatype", "FP32", x(datatype="FP99"), code=INPUT),
    Case("a datatype that is no text", "datatype", x(datatype=3)),
    Case("no shape", "shape must be a list", x(shape=None)),
    Case("a negative dim", "-1", x(shape=[-1, 3]), code=INPUT),
    Case("a fraction of a dim", "1.5", x(shape=[1.5, 2]), code=INPUT),
    Case("a dim that is true", "True", x(shape=[True, 3]), code=INPUT),
    Case("dims that overflow", "too large", x(shape=[2**40, 2**40]), code=INPUT),
    Case("an empty tensor of a huge dim", "large", x(shape=[0, 2**62]), code=INPUT),
    Case("100 dims", "64 are the most", x(shape=[1] * 100), code=INPUT),
    Case("too few data", "2 elements", x(data=[1, 2]), code=INPUT),
    Case("too many data", "4 elements", x(data=[1, 2, 3, 4]), code=INPUT),
    Case("no data", "data must be a list", x(data=None)),
    Case("data that are a number", "data must be a list", x(data=3)),
    Case("ragged data", "ragged", x(data=[[1, 2], [3]]), code=INPUT),
    Case("text for a number", "data[1]", x(data=[1, "a", 3]), code=INPUT),
    Case("a float too large", "outside the range", x(data=[1e39, 1, 1]), code=INPUT),
    Case(
        "a shape that does not fit", "[1, 4]", x(shape=[1, 4], data=[1] * 4), code=INPUT
    ),
    Case("a wrong rank", "[3]", x(shape=[3]), code=INPUT),
    Case(
        "an integer out of range",
        "data[1]",
        x(name="x", datatype="INT64", shape=[2], data=[1, 2**63]),
        WHOLE,
        code=INPUT,
    ),
    Case(
        "a fraction for an integer",
        "whole number",
        x(datatype="INT64", shape=[1], data=[1.5]),
        WHOLE,
        code=INPUT,
    ),
    Case(
        "null for an integer",
        "null",
        x(datatype="INT64", shape=[1], data=[None]),
        WHOLE,
        code=INPUT,
    ),
    Case(
        "NaN for an integer",
        "whole number",
        b'{"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":[NaN]}]}',
        WHOLE,
        code=INPUT,
    ),
    Case(
        "lists 101 deep",
        "deep",
        x(data=json.loads("[" * 101 + "1" + "]" * 101)),
        code=INPUT,
    ),
    Case(
        "lists 5000 deep",
        "no valid JSON",
        b'{"inputs":' + b"[" * 5000 + b"]" * 5000 + b"}",
        code="invalid_json",
    ),
    Case(
        "lists 5000 deep around a bare NaN",
        "no valid JSON",
        b'{"inputs":' + b"[" * 5000 + b"NaN" + b"]" * 5000 + b"}",
        code="invalid_json",
    ),
    Case(
        "half a surrogate pair beside a bare NaN",
        "no valid JSON",
        b'{"inputs":[{"name":"\\ud800","data":[NaN]}]}',
        code="invalid_json",
    ),
    Case("an unknown output", 'no output "q"', {**LINE, "outputs": [{"name": "q"}]}),
    Case("an output twice", "twice", {**LINE, "outputs": [{"name": "y"}] * 2}),
    Case("outputs of a wrong kind", "outputs", {**LINE, "outputs": "y"}),
    Case("an output without a name", "outputs[0]", {**LINE, "outputs": [{}]}),
    Case("an id that is a number", "id must be", {**LINE, "id": 3}),
    Case("an endless id", "4096", {**LINE, "id": "x" * 5000}),
    Case("parameters of a wrong kind", "parameters", {**LINE, "parameters": []}),
    Case(
        "a parameter that is a list", "timeout", {**LINE, "parameters": {"timeout": []}}
    ),
    Case("a negative timeout", "timeout", {**LINE, "parameters": {"timeout": -1}}),
    Case("a priority in words", "priority", {**LINE, "parameters": {"priority": "x"}}),
    Case(
        "binary_data_output in words",
        "true or false",
        {**LINE, "parameters": {"binary_data_output": "yes"}},
    ),
    Case(
        "a classification of none",
        "classification",
        {**LINE, "outputs": [{"name": "y", "parameters": {"classification": 0}}]},
    ),
    Case("a size but no header", "Inference-Header", {"inputs": [SIZED]}),
    Case(
        "shared memory",
        "shared memory",
        x(parameters={"shared_memory_region": "r"}),
    ),
    framed("a header beyond the body", "only", LINE, b"", length="100000"),
    framed("a header that is no number", "whole number", LINE, b"", length="abc"),
    framed("a negative header", "whole number", LINE, b"", length="-1"),
    framed("a header of 30 digits", "whole number", LINE, b"", length="9" * 30),
    framed(
        "a header in the middle of the JSON",
        "no valid JSON",
        LINE,
        b"",
        length="10",
        code="invalid_json",
    ),
    framed("a blob too short", "expecting 4", {"inputs": [SIZED]}, b"\0" * 8),
    framed("a blob too long", "additional input", {"inputs": [SIZED]}, b"\0" * 13),
    framed("bytes nobody asked for", "additional input", LINE, b"\0"),
    framed(
        "a size that is not the shape's",
        "takes 12 bytes, got 8",
        {"inputs": [{**SIZED, "parameters": {"binary_data_size": 8}}]},
        b"\0" * 8,
        code=INPUT,
    ),
    framed(
        "a negative size",
        "0 or greater",
        {"inputs": [{**SIZED, "parameters": {"binary_data_size": -12}}]},
        b"",
    ),
    framed("data and a size", "not both", {"inputs": [{**X, **SIZED}]}, b"\0" * 12),
    Case(
        "raw bytes of a broken row",
        "multiples of 12",
        b"1234",
        headers={HEADER: "0"},
        code=INPUT,
    ),
    Case("raw bytes for two inputs", "one input", b"1234", TWO, headers={HEADER: "0"}),
    Case("no gzip", "no valid gzip", b"x", headers={"content-encoding": "gzip"}),
    Case(
        "half a gzip",
        "cut off",
        gzip.compress(json.dumps(LINE).encode())[:-9],
        headers={"content-encoding": "gzip"},
    ),
    Case(
        "a gzip bomb",
        "1 MiB once inflated",
        gzip.compress(BOMB),
        headers={"content-encoding": "gzip"},
        status=413,
        code="payload_too_large",
    ),
    Case(
        "a deflate bomb",
        "1 MiB once inflated",
        zlib.compress(BOMB),
        headers={"content-encoding": "deflate"},
        status=413,
        code="payload_too_large",
    ),
    Case(
        "brotli",
        "gzip, deflate",
        b"x",
        headers={"content-encoding": "br"},
        status=415,
        code="unsupported_media_type",
    ),
    Case("a body over the limit", "1 MiB", BOMB, status=413, code="payload_too_large"),
    Case(
        "a load over the limit",
        "1 MiB",
        BOMB,
        "/v2/repository/models/line/load",
        413,
        "payload_too_large",
    ),
    Case(
        "an unknown model",
        '"no"',
        LINE,
        "/v2/models/no/infer",
        404,
        "model_not_found",
    ),
    Case(
        "an unknown version",
        '"9"',
        LINE,
        "/v2/models/line/versions/9/infer",
        404,
        "model_not_found",
    ),
    Case(
        "a name that breaks the rule",
        "letters, digits",
        LINE,
        "/v2/models/-x/infer",
        400,
        "invalid_field",
    ),
    Case(
        "a version that breaks the rule",
        "letters, digits",
        LINE,
        "/v2/models/line/versions/-x/infer",
        400,
        "invalid_field",
    ),
    Case("an unknown path", "/docs", b"", "/v2/nothing", 404, "route_not_found", "GET"),
    Case("a wrong method", "POST", b"", INFER, 405, "method_not_allowed", "GET"),
    Case("a wrong method below", "GET", b"", "/v2", 405, "method_not_allowed", "PUT"),
    Case("an index of a wrong kind", "ready", {"ready": 1}, "/v2/repository/index"),
    Case(
        "an index that is no JSON",
        "no valid JSON",
        b"x",
        "/v2/repository/index",
        code="invalid_json",
    ),
    Case(
        "unloading the unknown",
        '"no"',
        {},
        "/v2/repository/models/no/unload",
        404,
        "model_not_found",
    ),
    Case(
        "unloading with an unknown parameter",
        "unknown",
        {"parameters": {"x": 1}},
        "/v2/repository/models/line/unload",
    ),
    Case(
        "loading the unknown",
        '"no"',
        b"",
        "/v2/repository/models/no/load",
        404,
        "model_not_found",
    ),
]


async def test_bad_input_is_an_error_a_client_can_read(
    client: httpx.AsyncClient,
) -> None:
    # In one test: bringing up three models for each case would take minutes.
    for case in CASES:
        answer = await client.request(
            case.method, case.path, content=case.content(), headers=dict(case.headers)
        )
        assert answer.status_code == case.status, f"{case.name}: {answer.text}"
        text = error_of(answer, case.status, case.code)
        assert case.says in text, f"{case.name}: {text}"
        assert len(text) < 600, case.name


async def test_a_model_that_is_not_ready_is_a_503(client: httpx.AsyncClient) -> None:
    await client.patch(f"{API}/models/line", json={"status": "archived"})
    for path in ("line", "line/versions/1.0.0"):
        answer = await client.post(f"/v2/models/{path}/infer", json=LINE)
        assert "archived" in error_of(answer, 503, "model_not_ready")
        for what in ("", "/ready", "/config", "/stats"):
            answer = await client.get(f"/v2/models/{path}{what}")
            error_of(answer, 503, "model_not_ready")


async def test_an_unexpected_error_has_the_protocols_form_too(
    client: httpx.AsyncClient,
) -> None:
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    served = transport.app

    async def with_a_broken_body(scope: Any, receive: Any, send: Any) -> None:
        # A body that breaks in the middle of being read is nobody's input.
        async def broken() -> Any:
            raise RuntimeError("the network fell over")

        await served(scope, broken, send)

    breaking = httpx.ASGITransport(with_a_broken_body, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=breaking, base_url="http://mlforge.test"
    ) as broken_client:
        answer = await broken_client.post(INFER, json=LINE)
    assert "id" in error_of(answer, 500, "internal")
