"""Inference over the Open Inference Protocol, as its clients send it."""

import gzip
import json
import math
import zlib
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import pytest

from app.config import Settings
from tests import graphs
from tests.api.oip_calls import (
    HEADER,
    LINE,
    error_of,
    fp32,
    infer,
    infer_binary,
    inferred,
    split,
)
from tests.calls import API, upload
from tests.conftest import MakeSettings


@pytest.fixture
def settings(make_settings: MakeSettings, sqlite_dsn: str) -> Settings:
    # What is on the wire is the same in every deployment.
    return make_settings(database_url=sqlite_dsn)


@pytest.fixture(autouse=True)
async def line(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.affine(), name="line")


ANSWER = [3.0, 5.0, 7.0]
ROW = np.array([[1, 2, 3]], "<f4")


def binary(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {
        "name": name,
        "datatype": datatype,
        "shape": shape,
        "parameters": parameters,
    }


BINARY_LINE = {"inputs": [binary("x", "FP32", [1, 3], 12)]}


async def test_json_in_and_out(client: httpx.AsyncClient) -> None:
    answer = await infer(client, "line", {**LINE, "id": "a b é"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-cache"] == "MISS"
    assert answer.json() == {
        "model_name": "line",
        "model_version": "1.0.0",
        "id": "a b é",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": ANSWER}],
    }


async def test_the_content_type_decides_nothing(client: httpx.AsyncClient) -> None:
    for content_type in ("application/octet-stream", "application/json", "text/x", "x"):
        headers = {"content-type": content_type}
        assert (await infer(client, "line", LINE, headers)).json()["outputs"]
        answer = await infer_binary(
            client, "line", BINARY_LINE, ROW.tobytes(), headers=headers
        )
        assert answer.json()["outputs"][0]["data"] == ANSWER


async def test_the_id_is_echoed_and_is_no_part_of_the_cache_key(
    client: httpx.AsyncClient,
) -> None:
    first = await infer(client, "line", {**LINE, "id": "one"})
    second = await infer(client, "line", {**LINE, "id": "two", "model_name": "line"})
    assert [a.json()["id"] for a in (first, second)] == ["one", "two"]
    assert [a.headers["x-cache"] for a in (first, second)] == ["MISS", "HIT"]
    assert second.headers["x-request-id"] == "two"
    assert "id" not in (await infer(client, "line", LINE)).json()


async def test_binary_both_ways(client: httpx.AsyncClient) -> None:
    body = {**BINARY_LINE, "parameters": {"binary_data_output": True}}
    head, tensors = split(await infer_binary(client, "line", body, ROW.tobytes()))
    assert head["model_name"] == "line"
    assert tensors["y"].tolist() == [ANSWER]


async def test_json_and_binary_tensors_mix(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.two_inputs(), name="two")
    b = {"name": "b", "datatype": "INT64", "shape": [1, 2], "data": [3, 4]}
    body = {
        "inputs": [b, binary("a", "FP32", [1, 2], 8)],
        "outputs": [
            {"name": "product", "parameters": {"binary_data": True}},
            {"name": "total"},
        ],
    }
    blob = np.array([1, 2], "<f4").tobytes()
    head, tensors = split(await infer_binary(client, "two", body, blob))
    assert [output["name"] for output in head["outputs"]] == ["product", "total"]
    assert tensors["product"].tolist() == [[9, 16]]
    assert head["outputs"][1]["data"] == [4.0, 6.0]


async def test_an_output_may_except_itself_from_binary(
    client: httpx.AsyncClient,
) -> None:
    outputs = [{"name": "y", "parameters": {"binary_data": False}}]
    body = {**LINE, "outputs": outputs, "parameters": {"binary_data_output": True}}
    assert (await inferred(client, "line", body))["y"]["data"] == ANSWER


async def test_a_raw_binary_request_is_the_only_input(
    client: httpx.AsyncClient,
) -> None:
    answer = await infer(client, "line", ROW.tobytes(), {HEADER: "0"})
    assert split(answer)[1]["y"].tolist() == [ANSWER]


async def test_raw_text_is_one_element(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.strings_upper(), name="upper")
    answer = await infer(client, "upper", b"hello", {HEADER: "0"})
    head, tensors = split(answer)
    assert head["outputs"][0]["shape"] == [1]
    assert tensors["upper"].tobytes() == b"\x05\0\0\0HELLO"


async def test_a_version_or_an_alias_is_called(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.affine(5.0), name="line")
    alias = f"{API}/models/by-name/line/aliases/production"
    await client.put(alias, json={"version": "1.0.0"})
    for version in ("1.0.0", "production"):
        answer = await infer(client, f"line/versions/{version}", LINE)
        assert answer.json()["model_version"] == "1.0.0"
    newest = await infer(client, "line/versions/1.1.0", LINE)
    assert newest.json()["outputs"][0]["data"] == [6.0, 11.0, 16.0]


async def test_nan_and_infinities_go_as_strings_and_come_in_every_form(
    client: httpx.AsyncClient,
) -> None:
    text = (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2,3],"data":'
        b'[NaN,Infinity,-Infinity,null,"Infinity","NaN"]}]}'
    )
    answer = await infer(client, "line", text)
    assert answer.json()["outputs"][0]["data"] == [
        "NaN",
        "Infinity",
        "-Infinity",
        "NaN",
        "Infinity",
        "NaN",
    ]
    read = np.array(answer.json()["outputs"][0]["data"], np.float32)
    assert math.isinf(read[1])


async def test_empty_tensors_come_back(client: httpx.AsyncClient) -> None:
    empty = {"name": "x", "datatype": "FP32", "shape": [0, 3], "data": []}
    y = (await inferred(client, "line", {"inputs": [empty]}))["y"]
    assert (y["shape"], y["data"]) == ([0, 3], [])
    head, _ = split(
        await infer_binary(
            client,
            "line",
            {
                "inputs": [binary("x", "FP32", [0, 3], 0)],
                "parameters": {"binary_data_output": True},
            },
        )
    )
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 0}
    without_a_header = {"inputs": [binary("x", "FP32", [0, 3], 0)]}
    assert (await inferred(client, "line", without_a_header))["y"]["data"] == []


async def test_a_scalar_has_an_empty_shape(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.scalar(), name="scalar")
    signature = (await client.get("/v2/models/scalar")).json()
    scalar = {**signature["inputs"][0], "data": [2]}
    assert scalar["shape"] == []
    ((_, output),) = (await inferred(client, "scalar", {"inputs": [scalar]})).items()
    assert output["shape"] == []
    assert len(output["data"]) == 1


async def test_halves_and_bfloats_come_in_both_forms(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.bf16_identity(), name="brain")
    value = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    name = (await client.get("/v2/models/brain")).json()["inputs"][0]["name"]
    body = {
        "inputs": [binary(name, "BF16", [2], 4)],
        "parameters": {"binary_data_output": True},
    }
    head, tensors = split(await infer_binary(client, "brain", body, value.tobytes()))
    assert next(iter(tensors.values())).tobytes() == value.tobytes()
    assert head["outputs"][0]["datatype"] == "BF16"
    as_json = {"name": name, "datatype": "BF16", "shape": [2], "data": [1.5, -2]}
    outputs = await inferred(client, "brain", {"inputs": [as_json]})
    assert next(iter(outputs.values()))["data"] == [1.5, -2.0]


async def test_text_and_bytes_come_back(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.string_identity(), name="same")
    name = (await client.get("/v2/models/same")).json()["inputs"][0]["name"]
    text = {"name": name, "datatype": "BYTES", "shape": [3], "data": ["", "é", "null"]}
    outputs = await inferred(client, "same", {"inputs": [text]})
    assert next(iter(outputs.values()))["data"] == ["", "é", "null"]
    blob = b"\0\0\0\0" + b"\x02\0\0\0\xff\xfe"
    body = {
        "inputs": [binary(name, "BYTES", [2], len(blob))],
        "parameters": {"binary_data_output": True},
    }
    _, tensors = split(await infer_binary(client, "same", body, blob))
    assert next(iter(tensors.values())).tobytes() == blob


async def test_probabilities_of_a_zipmap_are_a_tensor_with_labels(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.classifier_zipmap(["no", "yes"]), name="kind")
    body = {"inputs": [fp32("X", [[0, 0], [0, 1000]])]}
    outputs = await inferred(client, "kind", body)
    assert outputs["probabilities"] == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [2, 2],
        "parameters": {"labels": '["no","yes"]'},
        "data": [0.5, 0.5, 0.0, 1.0],
    }
    assert outputs["label"]["datatype"] == "BYTES"
    top = [{"name": "probabilities", "parameters": {"classification": 1}}]
    outputs = await inferred(client, "kind", {**body, "outputs": top})
    assert outputs["probabilities"]["shape"] == [2, 1]
    assert outputs["probabilities"]["data"] == ["0.500000:0:no", "1.000000:1:yes"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_compressed_bodies_come_and_go(
    client: httpx.AsyncClient, coding: str
) -> None:
    head = json.dumps(
        {**BINARY_LINE, "parameters": {"binary_data_output": True}}
    ).encode()
    body = head + ROW.tobytes()
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    headers = {
        HEADER: str(len(head)),
        "content-encoding": coding,
        "accept-encoding": coding,
    }
    answer = await infer(client, "line", packed, headers)
    assert answer.headers["content-encoding"] == coding
    assert split(answer)[1]["y"].tolist() == [ANSWER]


async def test_who_names_a_list_is_sent_plain_bodies(
    client: httpx.AsyncClient,
) -> None:
    for accepted in ("gzip, deflate, br", "gzip, deflate", "br", "zstd", "*", ""):
        answer = await infer(client, "line", LINE, {"accept-encoding": accepted})
        assert "content-encoding" not in answer.headers
    for path in ("/v2", "/v2/models/line", "/v2/models/stats"):
        answer = await client.get(path, headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in answer.headers


async def test_a_timeout_in_microseconds_is_taken(client: httpx.AsyncClient) -> None:
    body = {**LINE, "parameters": {"timeout": 5_000_000, "priority": 1}}
    assert (await inferred(client, "line", body))["y"]["data"] == ANSWER


async def test_a_run_past_its_timeout_is_stopped(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.counted_loop(), name="slow")
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [0]},
        {"name": "n", "datatype": "INT64", "shape": [], "data": [10**15]},
    ]
    body = {"inputs": inputs, "parameters": {"timeout": 50_000}}
    answer = await infer(client, "slow", body)
    assert "0.05 s" in error_of(answer, 504, "inference_timeout")


async def test_a_base_path_before_v2_is_honoured(client: httpx.AsyncClient) -> None:
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    behind = httpx.ASGITransport(transport.app, root_path="/base")
    async with httpx.AsyncClient(
        transport=behind, base_url="http://mlforge.test"
    ) as proxied:
        answer = await proxied.post("/base/v2/models/line/infer", json=LINE)
        assert answer.json()["outputs"][0]["data"] == ANSWER
        error_of(await proxied.get("/base/v2/models/no"), 404, "model_not_found")
        assert (await proxied.get("/base/v2/")).json()["name"] == "mlforge"


async def test_a_zipmap_without_rows_keeps_its_classes(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.classifier_zipmap(["no", "yes"]), name="kind")
    none = {"name": "X", "datatype": "FP32", "shape": [0, 2], "data": []}
    answer = (await infer(client, "kind", {"inputs": [none]})).json()
    table = answer["outputs"][-1]
    assert table["shape"] == [0, 2]
    assert json.loads(table["parameters"]["labels"]) == ["no", "yes"]
