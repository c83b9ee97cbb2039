"""Several processes on one database and one folder of files."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests import graphs
from tests.conftest import StartServer
from tests.live import LiveServer
from tests.processes import wait_until

UPLOAD = "/api/v1/models/upload"
PREDICT = "/api/v1/models/line/predict"
BODY = {"input_data": {"x": [[1, 2, 3]]}}
# The contract: a change reaches every process within a second.
WITHIN_S = 1.0


@pytest.fixture(params=["sqlite", "postgresql"])
def replicas(
    request: pytest.FixtureRequest, start_server: StartServer, tmp_path: Path
) -> tuple[LiveServer, LiveServer]:
    settings: dict[str, object] = {"data_dir": tmp_path / "shared"}
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres_dsn")
    return start_server(**settings), start_server(**settings)


def upload(server: LiveServer, k: float) -> str:
    files = {"file": ("line.onnx", graphs.affine(k))}
    response = httpx.post(server.url + UPLOAD, files=files, timeout=30)
    assert response.status_code == 201, response.text
    model_id: str = response.json()["id"]
    return model_id


def predict(server: LiveServer) -> httpx.Response:
    return httpx.post(server.url + PREDICT, json=BODY, timeout=30)


def seen_within(ready: Callable[[], bool], what: str) -> None:
    started = time.monotonic()
    wait_until(ready, what, timeout_s=10)
    assert time.monotonic() - started < WITHIN_S + 1.0, f"{what} came late"


def test_what_one_process_changes_the_other_serves(
    replicas: tuple[LiveServer, LiveServer],
) -> None:
    one, other = replicas
    upload(one, 1.0)
    seen_within(lambda: predict(other).status_code == 200, "the new model")
    newer = upload(other, 2.0)
    assert predict(other).json()["model_id"] == newer
    seen_within(lambda: predict(one).json()["model_id"] == newer, "the newer version")
    deleted = httpx.delete(f"{one.url}/api/v1/models/{newer}", timeout=30)
    assert deleted.status_code == 204
    assert predict(one).json()["model_id"] != newer
    seen_within(lambda: predict(other).json()["model_id"] != newer, "the delete")


def test_clearing_the_cache_reaches_the_other_process(
    replicas: tuple[LiveServer, LiveServer],
) -> None:
    one, other = replicas
    upload(one, 1.0)
    seen_within(lambda: predict(other).status_code == 200, "the new model")
    assert predict(other).headers["x-cache"] == "HIT"
    cleared = httpx.delete(f"{one.url}/api/v1/models/line/cache", timeout=30)
    assert cleared.status_code == 204
    seen_within(lambda: predict(other).headers["x-cache"] == "MISS", "the new epoch")


def test_who_waits_for_a_job_does_not_hold_up_the_end(
    start_server: StartServer, postgres_dsn: str, redis_url: str
) -> None:
    server = start_server(database_url=postgres_dsn, redis_url=redis_url)
    upload(server, 1.0)
    job = httpx.post(f"{server.url}/api/v1/jobs", json={"model_id": "line", **BODY})
    result = f"{server.url}/api/v1/jobs/{job.json()['id']}/result?wait=30"
    answers: list[int] = []
    waiter = threading.Thread(
        target=lambda: answers.append(httpx.get(result, timeout=40).status_code)
    )
    waiter.start()
    # The waiter and the one who reads the metrics.
    metrics = f"{server.url}/metrics"
    wait_until(lambda: "mlforge_inflight 2.0" in httpx.get(metrics).text, "a waiter")
    assert server.stop() == 0
    waiter.join(10)
    assert answers == [202]
