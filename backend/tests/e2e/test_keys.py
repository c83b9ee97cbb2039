"""Keys between processes, without a database, and in what a server writes."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from app.auth.tokens import new_token
from app.migrations import migrate
from tests import graphs
from tests.conftest import StartProcess, StartServer
from tests.live import LiveServer
from tests.postgres_server import OwnPostgres
from tests.processes import free_port, wait_until

KEYS = "/api/v1/keys"
PREDICT = "/api/v1/models/line/predict"
INFER = "/v2/models/line/infer"
ROW = {"input_data": {"x": [[1, 2]]}}
TENSOR = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


def admin_of(folder: Path) -> dict[str, str]:
    return {"X-API-Key": (folder / "admin-key").read_text().strip()}


def make(server: LiveServer, admin: dict[str, str], **fields: Any) -> dict[str, Any]:
    body = {"name": "test", "scopes": ["predict"], **fields}
    answer = httpx.post(server.url + KEYS, json=body, headers=admin)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def upload(server: LiveServer, headers: dict[str, str]) -> None:
    files = {"file": ("line.onnx", graphs.affine(2.0, width=2))}
    url = f"{server.url}/api/v1/models/upload"
    answer = httpx.post(url, files=files, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text


def predict(server: LiveServer, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(server.url + PREDICT, json=ROW, headers=headers, timeout=30)
    return answer.status_code


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    settings: dict[str, object] = {"auth": "on", "data_dir": tmp_path / "shared"}
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres_dsn")
    return settings


def test_processes_that_start_at_once_make_one_admin_key(
    start_process: StartProcess, shared: dict[str, object], tmp_path: Path
) -> None:
    ports = [free_port() for _ in range(3)]
    processes = [
        start_process("serve", port=port, grpc_port=0, **shared) for port in ports
    ]
    for process in processes:
        process.wait_for_log("MLForge listens on")
    file = tmp_path / "shared" / "admin-key"
    assert file.stat().st_mode & 0o777 == 0o600
    listed = [
        httpx.get(f"http://127.0.0.1:{port}{KEYS}", headers=admin_of(file.parent))
        for port in ports
    ]
    assert [answer.json()["total"] for answer in listed] == [1, 1, 1]
    told = [process.logs().count("admin_key_made") for process in processes]
    assert sorted(told) == [0, 0, 1]
    secret = file.read_text().strip()[17:]
    assert not any(secret in process.logs() for process in processes)


def test_a_key_works_and_ends_on_every_replica(
    start_server: StartServer, shared: dict[str, object], tmp_path: Path
) -> None:
    one, other = start_server(**shared), start_server(workers=2, **shared)
    admin = admin_of(tmp_path / "shared")
    upload(one, admin)
    made = make(one, admin)
    # What another process has just made is waited for, not refused.
    assert {predict(other, made["key"]) for _ in range(6)} == {200}
    revoked = httpx.delete(f"{one.url}{KEYS}/{made['id']}", headers=admin)
    assert revoked.status_code == 204
    assert predict(one, made["key"]) == 401
    wait_until(
        lambda: all(predict(other, made["key"]) == 401 for _ in range(6)),
        "the refusal of the revoked key",
        timeout_s=5,
    )


def test_with_the_database_down_known_keys_go_on(
    start_server: StartServer, private_postgres: OwnPostgres, tmp_path: Path
) -> None:
    dsn = private_postgres.create_database()
    shared = {"auth": "on", "database_url": dsn, "database_timeout_s": 1}
    asyncio.run(migrate(dsn))
    server = start_server(**shared)
    admin = admin_of(tmp_path / "data")
    upload(server, admin)
    made = make(server, admin)
    assert predict(server, made["key"]) == 200
    private_postgres.kill()
    for _ in range(3):
        assert predict(server, made["key"]) == 200
        assert predict(server, new_token().token) == 401
        assert predict(server, made["key"][:-1]) == 401


@pytest.fixture
def guarded(start_server: StartServer) -> LiveServer:
    return start_server(
        auth="on",
        log_format="json",
        log_level="DEBUG",
        cache_ttl_s=0,
        auth_failures_per_minute=0,
    )


def chunked(body: bytes) -> Iterator[bytes]:
    yield body


def both_ways(
    server: LiveServer, path: str, body: dict[str, Any], headers: Any
) -> tuple[httpx.Response, httpx.Response]:
    """A chunked body keeps a request from the express way."""
    content = orjson.dumps(body)
    for _ in range(3):
        express = httpx.post(server.url + path, content=content, headers=headers)
    usual = httpx.post(server.url + path, content=chunked(content), headers=headers)
    return express, usual


def test_the_express_way_and_the_endpoints_let_the_same_callers_in(
    guarded: LiveServer, tmp_path: Path
) -> None:
    admin = admin_of(tmp_path / "data")
    upload(guarded, admin)
    key = make(guarded, admin)["key"]
    read = make(guarded, admin, scopes=["read"])["key"]
    mine = make(guarded, admin, model_pattern="li*")["key"]
    theirs = make(guarded, admin, model_pattern="theirs*")["key"]
    bearer = "Bearer "
    cases: list[tuple[list[tuple[str, str]], int]] = [
        ([], 401),
        ([("X-API-Key", key)], 200),
        ([("Authorization", bearer + key)], 200),
        ([("Authorization", "bearer " + key)], 200),
        ([("Authorization", f"Bearer   {key}")], 200),
        ([("Authorization", "Basic Zm9v")], 401),
        ([("Authorization", "Basic Zm9v"), ("X-API-Key", key)], 200),
        ([("Authorization", key)], 401),
        ([("X-API-Key", bearer + key)], 401),
        ([("X-API-Key", key), ("Authorization", bearer + key)], 200),
        ([("X-API-Key", key), ("Authorization", bearer + read)], 401),
        ([("X-API-Key", key), ("X-API-Key", mine)], 401),
        ([("X-API-Key", key[:-1])], 401),
        ([("X-API-Key", new_token().token)], 401),
        ([("X-API-Key", read)], 403),
        ([("X-API-Key", mine)], 200),
        ([("X-API-Key", theirs)], 404),
    ]
    for path, body in ((PREDICT, ROW), (INFER, {"inputs": [TENSOR]})):
        for headers, status in cases:
            json_headers = [*headers, ("Content-Type", "application/json")]
            express, usual = both_ways(guarded, path, body, json_headers)
            assert express.status_code == usual.status_code == status, (path, headers)
            if status != 200:
                assert told(express) == told(usual), headers


def test_the_express_way_takes_from_the_same_rate_as_the_endpoints(
    guarded: LiveServer, tmp_path: Path
) -> None:
    admin = admin_of(tmp_path / "data")
    upload(guarded, admin)
    predict(guarded, admin["X-API-Key"])
    made = make(guarded, admin, requests_per_s=0.01, burst=6)
    headers = {"X-API-Key": made["key"]}
    answers = [
        answer.status_code
        for _ in range(2)
        for answer in both_ways(guarded, PREDICT, ROW, headers)
    ]
    # Three of the one way and one of the other each time; of the one the last is kept.
    assert answers == [200, 200, 429, 429]
    assert predict(guarded, admin["X-API-Key"]) == 200


def test_what_lasts_tells_nothing_more_once_its_key_is_revoked(
    start_server: StartServer, redis_url: str, tmp_path: Path
) -> None:
    # With Redis and without a worker, a job stays queued.
    server = start_server(auth="on", redis_url=redis_url)
    admin = admin_of(tmp_path / "data")
    upload(server, admin)
    made = make(server, admin)
    jobs = f"{server.url}/api/v1/jobs"
    body = {"model_id": "line", **ROW}
    job = httpx.post(jobs, json=body, headers=admin).json()["id"]
    headers = {"X-API-Key": made["key"]}
    url = f"{jobs}/{job}/events"
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        events = answer.iter_text()
        assert '"queued"' in next(events)
        httpx.delete(f"{server.url}{KEYS}/{made['id']}", headers=admin)
        cancelled = httpx.post(f"{jobs}/{job}/cancel", headers=admin)
        assert cancelled.json()["status"] == "cancelled"
        assert "".join(events) == ""
    queued = httpx.post(jobs, json=body, headers=admin).json()["id"]
    late = make(server, admin)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(
            httpx.get,
            f"{jobs}/{queued}/result?wait=20",
            headers={"X-API-Key": late["key"]},
            timeout=40,
        )
        # Its use is told by the metrics, as the call itself has no answer yet.
        wait_until(lambda: in_flight(server, admin) >= 2, "the waiting call")
        httpx.delete(f"{server.url}{KEYS}/{late['id']}", headers=admin)
        httpx.post(f"{jobs}/{queued}/cancel", headers=admin)
        assert waiting.result().status_code == 401
    assert "unexpected_error" not in server.logs()


def in_flight(server: LiveServer, admin: dict[str, str]) -> float:
    """The calls under way, the one that asks included."""
    page = httpx.get(f"{server.url}/metrics", headers=admin).text
    found = re.search(r"^mlforge_\w*in_?flight\w* (\S+)$", page, re.MULTILINE)
    assert found is not None, page
    return float(found[1])


def told(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    del body["request_id"]
    return body


def test_nothing_that_a_server_writes_holds_a_key(
    guarded: LiveServer, tmp_path: Path
) -> None:
    admin = admin_of(tmp_path / "data")
    upload(guarded, admin)
    key = make(guarded, admin, scopes=["admin"])["key"]
    secret = key[17:]
    get = httpx.get
    said = [
        predicted.text
        for headers in ({"X-API-Key": key}, {"Authorization": key}, {})
        for predicted in both_ways(guarded, PREDICT, ROW, headers)
    ]
    for url in (f"/api/v1/models?key={key}", f"/api/v1/models/{key}", f"/{key}"):
        said.append(get(guarded.url + url, headers={"X-API-Key": key}).text)
        said.append(get(guarded.url + url).text)
    said += [
        get(guarded.url + path, headers={"X-API-Key": key}).text
        for path in ("/metrics", KEYS, "/api/v1/models", "/health")
    ]
    guarded.stop()
    lines = guarded.logs().splitlines()
    assert any(key[:17] in line for line in lines)  # The path that held it.
    assert not any(secret in text for text in (*said, *lines))
    assert all(json.loads(line) for line in lines if line.startswith("{"))
    folder = tmp_path / "data"
    assert not [
        file
        for file in folder.rglob("*")
        if file.is_file() and secret.encode() in file.read_bytes()
    ]


def test_the_example_is_uploaded_with_the_first_key(start_server: StartServer) -> None:
    server = start_server("--example", auth="on")
    server.wait_for_log("Its first prediction")
    assert "X-API-Key: $(cat" in server.logs()
