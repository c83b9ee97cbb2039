"""Predict in every format over HTTP, on models that real libraries exported."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from app.api.formats import READ_AHEAD_BYTES
from tests import graphs
from tests.calls import API, predict, predicted, problem_of, upload
from tests.codecs.tabular import (
    ARROW,
    CSV,
    NDJSON,
    NPZ,
    PARQUET,
    ROW_TYPES,
    encoded,
    npz_bytes,
    read_arrow,
    read_csv,
)
from tests.exports import load_export

JSON = "application/json"
MIXED = "sklearn_diabetes_mixed_columns"


async def send(
    client: httpx.AsyncClient,
    ref: str,
    content_type: str,
    body: bytes,
    accept: str = JSON,
    **query: str,
) -> httpx.Response:
    headers = {"content-type": content_type, "accept": accept}
    path = f"{API}/models/{ref}/predict"
    return await client.post(path, content=body, headers=headers, params=query)


def table_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


async def upload_mixed(client: httpx.AsyncClient) -> dict[str, list[Any]]:
    export = load_export(MIXED)
    await upload(client, export.path.read_bytes(), name="mixed")
    return table_of(export.rows())


async def test_rows_in_any_format_give_the_same_prediction(
    client: httpx.AsyncClient,
) -> None:
    table = await upload_mixed(client)
    rows = [
        dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)
    ]
    wanted = await predicted(client, "mixed", {"rows": rows})
    for media_type in ROW_TYPES:
        body = encoded({**table, "more": ["x"] * len(rows)}, media_type)
        response = await send(client, "mixed", f"{media_type}; a=b", body)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["predictions"] == wanted["predictions"]
        assert answer["ignored_features"] == ["more"]
        assert response.headers["x-cache"] == "HIT"


async def test_answers_in_any_format_hold_the_same_values(
    client: httpx.AsyncClient,
) -> None:
    table = await upload_mixed(client)
    body = encoded({**table, "more": ["é"] * len(table["age"])}, CSV)
    wanted = (await send(client, "mixed", CSV, body)).json()["predictions"]
    for media_type in (NDJSON, ARROW, PARQUET):
        response = await send(client, "mixed", CSV, body, media_type)
        assert response.headers["content-type"] == media_type
        assert response.headers["x-model-id"]
        assert json.loads(response.headers["x-ignored-features"]) == ["more"]
        if media_type == NDJSON:
            rows = [json.loads(line) for line in response.text.splitlines()]
        else:
            rows = read_arrow(response.content, media_type).to_pylist()
        assert as_float32(rows) == as_float32(wanted)
    response = await send(client, "mixed", CSV, body, CSV)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    labels = [row["output_label"] for row in read_csv(response.content)]
    assert labels == [row["output_label"] for row in wanted]
    first = read_csv(response.content)[0]
    chances = wanted[0]["output_probability"]
    for label, chance in chances.items():
        assert float(first[f"output_probability[{label}]"]) == chance


def as_float32(value: Any) -> Any:
    if isinstance(value, list):
        return [as_float32(item) for item in value]
    if isinstance(value, dict):
        return {key: as_float32(item) for key, item in value.items()}
    return np.float32(value) if isinstance(value, float) else value


async def test_tensors_come_and_go_as_npz(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.affine(), name="line")
    x = np.array([[1, 2, 3], [4, 5, 6]])
    response = await send(client, "line", NPZ, npz_bytes({"x": x}), NPZ)
    assert response.headers["content-type"] == NPZ
    with np.load(io.BytesIO(response.content)) as archive:
        np.testing.assert_array_equal(archive["y"], np.float32(2 * x + 1))
        assert archive["y"].dtype == np.float32
    csv = await send(client, "line", NPZ, npz_bytes({"x": x}), CSV)
    assert csv.text == "y[0],y[1],y[2]\n3.0,5.0,7.0\n9.0,11.0,13.0\n"
    as_json = await send(client, "line", JSON, b'{"input_data":{"x":[[1,2,3]]}}', CSV)
    assert as_json.text == "y[0],y[1],y[2]\n3.0,5.0,7.0\n"
    wrong = await send(client, "line", NPZ, npz_bytes({"x": x[0]}))
    assert "float32 [" in problem_of(wrong, 400, "invalid_input")


async def test_options_stand_in_the_query(client: httpx.AsyncClient) -> None:
    table = await upload_mixed(client)
    body = encoded(table, CSV)
    response = await send(
        client, "mixed", CSV, body, CSV, outputs="output_label", skip_cache="true"
    )
    assert response.text.splitlines()[0] == "output_label"
    assert response.headers["x-cache"] == "BYPASS"
    for query, message in [
        ({"outputs": "label"}, 'no output "label"; it has output_label'),
        ({"outputs": "output_label,output_label"}, "twice"),
        ({"skip_cache": "perhaps"}, "must be true or false"),
    ]:
        refused = await send(client, "mixed", CSV, body, CSV, **query)
        assert message in problem_of(refused, 400, "invalid_request")


async def test_large_bodies_are_read_beside_the_loop(client: httpx.AsyncClient) -> None:
    names = ["a", "b", "c"]
    await upload(client, graphs.affine(feature_names=names), name="line")
    count = READ_AHEAD_BYTES // 4
    body = b"c,a,b\n" + b"3,1,2\n" * count
    response = await send(client, "line", CSV, body, ARROW)
    assert response.status_code == 200, response.text
    table = read_arrow(response.content, ARROW)
    assert table.num_rows == count
    assert table["y"][count - 1].as_py() == [3.0, 5.0, 7.0]
    broken = await send(client, "line", CSV, body + b"1,2\n")
    assert f"line {count + 2}: " in problem_of(broken, 400, "invalid_request")
    problem_of(await send(client, "nobody", CSV, body), 404, "model_not_found")


async def test_other_types_are_refused_with_ours(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.add_one(), name="add")
    detail = problem_of(
        await send(client, "add", "text/html", b"x"), 415, "unsupported_media_type"
    )
    assert all(name in detail for name in (JSON, *ROW_TYPES, NPZ))
    body = b'{"input_data": {"x": [1]}}'
    refused = await send(client, "add", JSON, body, "text/html")
    assert all(
        name in problem_of(refused, 406, "not_acceptable") for name in (CSV, PARQUET)
    )
    problem_of(await send(client, "add", JSON, body, "*/*;q=0"), 406, "not_acceptable")


async def test_an_inflated_body_is_bounded_too(client: httpx.AsyncClient) -> None:
    await upload(client, graphs.add_one(), name="add")
    bomb = npz_bytes({"x": np.zeros(65 << 17)}, is_compressed=True)
    detail = problem_of(await send(client, "add", NPZ, bomb), 413, "payload_too_large")
    assert "64 MiB" in detail


@pytest.mark.parametrize("media_type", [NDJSON, CSV, ARROW, PARQUET])
async def test_nulls_follow_the_policy_of_the_model(
    client: httpx.AsyncClient, media_type: str
) -> None:
    names = ["a", "b", "c"]
    model = await upload(client, graphs.affine(feature_names=names), name="line")
    table = {"a": [1.0, None], "b": [None, 2.0], "c": [3.0, 3.0]}
    body = encoded(table, media_type)
    refused = await send(client, "line", media_type, body)
    detail = problem_of(refused, 400, "invalid_input")
    assert 'column "b"' in detail or 'column "a"' in detail
    nulls = {"policy": "nan", "defaults": {"b": 10}}
    patched = await client.patch(
        f"{API}/models/{model['id']}", json={"model_metadata": {"nulls": nulls}}
    )
    assert patched.status_code == 200, patched.text
    answer = (await send(client, "line", media_type, body)).json()
    assert answer["output_data"] == {"y": [[3, 21, 7], ["NaN", 5, 7]]}
    rows = {"rows": [{"a": 1, "b": None, "c": 3}, {"a": None, "b": 2, "c": 3}]}
    same = await predict(client, "line", rows)
    assert same.json()["output_data"] == answer["output_data"]
    assert same.headers["x-cache"] == "HIT"


async def test_the_policy_must_fit_the_model(client: httpx.AsyncClient) -> None:
    model = await upload(client, graphs.affine(), name="line")
    for nulls, loc in [
        ({"policy": "drop"}, "policy"),
        ({"defaults": {"a": "x"}}, "defaults.a"),
    ]:
        refused = await client.patch(
            f"{API}/models/{model['id']}", json={"model_metadata": {"nulls": nulls}}
        )
        assert loc in problem_of(refused, 422, "invalid_field")


async def test_a_table_without_rows_or_columns_says_so(
    client: httpx.AsyncClient,
) -> None:
    await upload_mixed(client)
    empty = encoded({"age": pa.array([], pa.float32())}, ARROW)
    refused = await send(client, "mixed", ARROW, empty)
    assert "lacks features" in problem_of(refused, 400, "missing_features")
    problem_of(await send(client, "mixed", CSV, b""), 400, "missing_features")
    problem_of(await send(client, "mixed", NDJSON, b""), 400, "invalid_request")


async def test_the_formats_are_documented(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    call = document["paths"][f"{API}/models/{{ref}}/predict"]["post"]
    types = {JSON, *ROW_TYPES, NPZ}
    assert set(call["requestBody"]["content"]) == types
    assert set(call["responses"]["200"]["content"]) == types
    assert {p["name"] for p in call["parameters"]} == {"ref", "outputs", "skip_cache"}


ROW_FORMATS = [
    "text/csv",
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
]


@pytest.mark.parametrize("accept", ROW_FORMATS)
async def test_an_output_of_rank_0_has_no_rows(
    client: httpx.AsyncClient, accept: str
) -> None:
    await upload(client, graphs.scalar(), name="scalar")
    answer = await client.post(
        "/api/v1/models/scalar/predict",
        json={"input_data": {"x": 1}},
        headers={"accept": accept},
    )
    assert "no value for every row" in problem_of(answer, 406, "not_acceptable")


@pytest.mark.parametrize("accept", ROW_FORMATS)
@pytest.mark.parametrize("columns", [0, 3])
async def test_no_rows_in_are_no_rows_out(
    client: httpx.AsyncClient, accept: str, columns: int
) -> None:
    await upload(client, graphs.identity(graphs.FLOAT, ("A", "B")), name="same")
    answer = await client.post(
        "/api/v1/models/same/predict",
        json={"input_data": {"x": {"shape": [0, columns], "data": []}}},
        headers={"accept": accept},
    )
    assert answer.status_code == 200, answer.text
