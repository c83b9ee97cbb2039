"""Jobs over HTTP, from submit to result, with a worker of each deployment."""

import asyncio
from typing import Any

import httpx
import pytest

from app.config import Settings
from tests import graphs
from tests.calls import API, problem_of, upload
from tests.jobs.work import absent_id

JOBS = f"{API}/jobs"
INPUT = {"x": [1.0, 2.5]}
ENDLESS = 10**15


async def submit(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post(JOBS, json=body)
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    assert response.headers["location"] == f"{JOBS}/{job['id']}"
    return job


async def result(client: httpx.AsyncClient, job_id: str) -> httpx.Response:
    return await client.get(f"{JOBS}/{job_id}/result", params={"wait": 20})


async def test_a_job_gives_what_a_prediction_gives(
    client: httpx.AsyncClient, worker: None
) -> None:
    model = await upload(client, graphs.add_one(), name="add-one")
    job = await submit(client, model_id="add-one", input_data=INPUT)
    assert job["status"] == "queued"
    assert job["model_id"] == model["id"]
    assert (job["model_name"], job["model_version"]) == ("add-one", model["version"])
    assert job["priority"] == "normal"
    response = await result(client, job["id"])
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["output_data"] == {"y": [2.0, 3.5]}
    assert answer["model_id"] == model["id"]
    ended = (await client.get(f"{JOBS}/{job['id']}")).json()
    assert ended["status"] == "completed"
    assert ended["progress"]["rows_done"] == ended["progress"]["rows_total"] == 1
    assert ended["progress"]["eta_seconds"] == 0
    assert ended["queue_time_ms"] >= 0
    assert ended["inference_time_ms"] > 0
    assert ended["created_at"] <= ended["started_at"] <= ended["completed_at"]
    assert ended["error_message"] is None


async def test_rows_features_and_outputs_work_in_jobs(
    client: httpx.AsyncClient, worker: None
) -> None:
    await upload(client, graphs.columns(2), name="columns")
    rows = [{"number0": 1.0, "text1": "a"}, {"number0": 5, "text1": "b"}]
    many = await submit(client, model_id="columns", rows=rows, priority="high")
    one = await submit(
        client, model_id="columns", features=rows[0], outputs=["score"], priority="low"
    )
    assert many["progress"]["rows_total"] == 2
    assert (many["priority"], one["priority"]) == ("high", "low")
    predictions = (await result(client, many["id"])).json()["predictions"]
    assert len(predictions) == 2
    assert (await result(client, one["id"])).status_code == 200


async def test_a_job_runs_on_the_version_that_served_at_submit(
    client: httpx.AsyncClient,
) -> None:
    first = await upload(client, graphs.affine(2.0, width=1), name="line")
    old = await submit(client, model_id="line", input_data={"x": [[1.0]]})
    second = await upload(client, graphs.affine(5.0, width=1), name="line")
    new = await submit(client, model_id="line", input_data={"x": [[1.0]]})
    assert (old["model_id"], new["model_id"]) == (first["id"], second["id"])


async def test_a_job_of_a_deleted_model_fails_with_the_reason(
    client: httpx.AsyncClient, settings: Settings, worker: None
) -> None:
    busy = [await endless(client) for _ in range(settings.job_concurrency)]
    await upload(client, graphs.add_one(), name="gone")
    job = await submit(client, model_id="gone", input_data=INPUT)
    assert (await client.delete(f"{API}/models/gone")).status_code == 204
    for job_id in busy:
        await client.post(f"{JOBS}/{job_id}/cancel")
    response = await result(client, job["id"])
    assert response.status_code == 200, response.text
    failed = response.json()
    assert failed == (await client.get(f"{JOBS}/{job['id']}")).json()
    assert (failed["status"], failed["error_code"]) == ("failed", "model_not_found")
    assert failed["error_message"]
    assert failed["attempts"] == 1


WRONG = [
    ({"input_data": {"x": ["a"]}}, 400, "invalid_input", "x"),
    ({"input_data": {"x": [[1.0]]}}, 400, "invalid_input", "x"),
    ({"input_data": {"z": [1.0]}}, 400, "invalid_input", "z"),
    ({"input_data": {}}, 400, "invalid_input", "x"),
    ({}, 400, "invalid_request", "input_data"),
    ({"input_data": INPUT, "rows": []}, 400, "invalid_request", "rows"),
    ({"input_data": INPUT, "priority": "urgent"}, 422, "invalid_field", "priority"),
    ({"input_data": INPUT, "priority": 7}, 422, "invalid_field", "priority"),
    ({"input_data": INPUT, "model_id": 7}, 422, "invalid_field", "model_id"),
    ({"input_data": INPUT, "model_id": None}, 422, "invalid_field", "model_id"),
    ({"input_data": INPUT, "model_id": "no such"}, 422, "invalid_field", "no such"),
    ({"input_data": INPUT, "model_id": "absent"}, 404, "model_not_found", "absent"),
    ({"input_data": INPUT, "model_id": "m@no"}, 404, "alias_not_found", "no"),
]


@pytest.mark.parametrize(("body", "status", "code", "named"), WRONG)
async def test_a_wrong_job_is_refused_at_once_and_leaves_nothing(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, named: str
) -> None:
    await upload(client, graphs.add_one(), name="m")
    response = await client.post(JOBS, json={"model_id": "m", **body})
    assert named in problem_of(response, status, code)
    assert (await client.get(JOBS)).json()["total"] == 0


async def test_a_job_of_a_version_that_is_not_ready_is_refused(
    client: httpx.AsyncClient,
) -> None:
    await client.post(f"{API}/models", json={"name": "empty", "version": "1.0.0"})
    body = {"model_id": "empty:1.0.0", "input_data": INPUT}
    problem_of(await client.post(JOBS, json=body), 409, "model_not_ready")


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"model_id": NaN}'])
async def test_a_body_that_is_no_json_is_refused(
    client: httpx.AsyncClient, body: bytes
) -> None:
    response = await client.post(
        JOBS, content=body, headers={"content-type": "application/json"}
    )
    problem_of(response, 400, "invalid_json")


DEEP = b"[" * 300 + b"]" * 300


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b'{"model_id": "m", "input_data": {"x": %b}}', 400, "nested deeper"),
        (b'{"model_id": %b, "input_data": {"x": [1.0]}}', 422, "model_id"),
        (b'{"model_id": "m", "priority": %b, "rows": []}', 422, "priority"),
        (b"%b", 400, "JSON object"),
    ],
)
async def test_a_deeply_nested_body_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, named: str
) -> None:
    response = await client.post(
        JOBS, content=body % DEEP, headers={"content-type": "application/json"}
    )
    assert response.status_code == status, response.text
    assert named in response.json()["detail"]


@pytest.mark.parametrize("body", [[], "text", 1, True])
async def test_a_body_that_is_no_object_is_refused(
    client: httpx.AsyncClient, body: object
) -> None:
    problem_of(await client.post(JOBS, json=body), 400, "invalid_request")


@pytest.mark.parametrize("kind", ["text/plain", "text/csv", ""])
async def test_another_content_type_is_refused_naming_what_is_taken(
    client: httpx.AsyncClient, kind: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    response = await client.post(JOBS, content=b"a,b", headers=headers)
    detail = problem_of(response, 415, "unsupported_media_type")
    assert "application/json" in detail or "-F file=@rows.csv" in detail


async def test_jobs_are_listed_in_pages_and_by_filter(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.add_one(), name="one")
    await upload(client, graphs.affine(width=1), name="line")
    for _ in range(3):
        await submit(client, model_id="one", input_data=INPUT)
    last = await submit(client, model_id="line", input_data={"x": [[1.0]]})
    page = (await client.get(JOBS, params={"page": 1, "page_size": 3})).json()
    assert (page["total"], page["page"], page["page_size"]) == (4, 1, 3)
    assert page["total_pages"] == 2
    assert len(page["items"]) == 3
    assert page["items"][0]["id"] == last["id"]
    found = (await client.get(JOBS, params={"model_id": "line"})).json()
    assert [job["id"] for job in found["items"]] == [last["id"]]
    none = (await client.get(JOBS, params={"status": "failed"})).json()
    assert (none["items"], none["total"], none["total_pages"]) == ([], 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "lost"},
        {"page": 0},
        {"page": "x"},
        {"page_size": 0},
        {"page_size": 101},
        {"model_id": "no such"},
        {"model_id": "m@alias"},
    ],
)
async def test_a_wrong_filter_is_refused(
    client: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    problem_of(await client.get(JOBS, params=wrong), 422, "invalid_field")


@pytest.mark.parametrize("wait", ["-1", "31", "long", "nan"])
async def test_a_wait_out_of_its_range_is_refused(
    client: httpx.AsyncClient, wait: str
) -> None:
    response = await client.get(f"{JOBS}/{absent_id()}/result", params={"wait": wait})
    problem_of(response, 422, "invalid_field")


@pytest.mark.parametrize(
    "job_id", ["nonsense", absent_id()], ids=["nonsense", "absent"]
)
async def test_an_unknown_job_is_a_404_everywhere(
    client: httpx.AsyncClient, job_id: str
) -> None:
    at = f"{JOBS}/{job_id}"
    for response in (
        await client.get(at),
        await client.get(f"{at}/result"),
        await client.get(f"{at}/events"),
        await client.post(f"{at}/cancel"),
        await client.post(f"{at}/retry"),
        await client.delete(at),
    ):
        problem_of(response, 404, "job_not_found")


async def endless(client: httpx.AsyncClient) -> str:
    """A job that is running, and would for days."""
    await upload(client, graphs.counted_loop(), name="loop")
    job = await submit(client, model_id="loop", input_data={"x": [0.0], "n": ENDLESS})
    async with asyncio.timeout(20):
        async with client.stream("GET", f"{JOBS}/{job['id']}/result") as response:
            assert response.status_code == 202
        while (await client.get(f"{JOBS}/{job['id']}")).json()["status"] == "queued":  # noqa: ASYNC110 - only the API tells
            await asyncio.sleep(0.02)
    job_id: str = job["id"]
    return job_id


async def test_a_running_job_is_cancelled_retried_and_deleted(
    client: httpx.AsyncClient, worker: None
) -> None:
    job_id = await endless(client)
    at = f"{JOBS}/{job_id}"
    problem_of(await client.post(f"{at}/retry"), 409, "state_forbids")
    assert "cancel it first" in problem_of(
        await client.delete(at), 409, "state_forbids"
    )
    asked = await client.post(f"{at}/cancel")
    assert asked.status_code == 200
    assert asked.json()["cancel_requested"]
    ended = await result(client, job_id)
    assert (ended.status_code, ended.json()["status"]) == (200, "cancelled")
    problem_of(await client.post(f"{at}/cancel"), 409, "state_forbids")
    again = (await client.post(f"{at}/retry")).json()
    assert (again["status"], again["retries"]) == ("queued", 1)
    await client.post(f"{at}/cancel")
    assert (await result(client, job_id)).json()["status"] == "cancelled"
    assert (await client.delete(at)).status_code == 204
    problem_of(await client.get(at), 404, "job_not_found")


async def test_events_tell_of_every_change_until_the_end(
    client: httpx.AsyncClient, worker: None
) -> None:
    await upload(client, graphs.add_one(), name="m")
    job = await submit(client, model_id="m", input_data=INPUT)
    response = await client.get(f"{JOBS}/{job['id']}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    last = response.text.strip().split("\n\n")[-1]
    assert last.startswith("event: job\ndata: {")
    assert '"status":"completed"' in last


async def test_the_documented_body_refers_only_to_what_is_there(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    body = document["paths"][JOBS]["post"]["requestBody"]["content"]
    schema = body["application/json"]["schema"]
    assert "$defs" not in schema
    assert schema["properties"]["priority"]["$ref"] == "#/components/schemas/Priority"
    assert "Priority" in document["components"]["schemas"]
