"""`mlforge worker` beside `mlforge serve`, as people run them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.services.job_pulse import Pulse
from tests import graphs
from tests.conftest import StartProcess, StartServer
from tests.processes import wait_until
from tests.redis_server import OwnRedis

JOBS = "/api/v1/jobs"
# Some seconds of counting: enough to be met in the middle.
COUNT = 4_000_000


@pytest.fixture
def shared(
    postgres_dsn: str, private_redis: OwnRedis, tmp_path: Path
) -> dict[str, object]:
    """The settings that the server and its workers share."""
    return {
        "database_url": postgres_dsn,
        "redis_url": private_redis.url,
        "data_dir": tmp_path / "data",
        "job_lease_s": 1.5,
        "job_sweep_s": 0.3,
    }


@pytest.fixture
def client(
    start_server: StartServer, shared: dict[str, object]
) -> Iterator[httpx.Client]:
    server = start_server(**shared)
    with httpx.Client(base_url=server.url, timeout=40) as client:
        file = {"file": ("loop.onnx", graphs.counted_loop())}
        assert client.post("/api/v1/models/upload", files=file).status_code == 201
        yield client


def submit(client: httpx.Client, n: int) -> str:
    body = {"model_id": "loop", "input_data": {"x": [0.0], "n": n}}
    response = client.post(JOBS, json=body)
    assert response.status_code == 201, response.text
    job_id: str = response.json()["id"]
    return job_id


def job_of(client: httpx.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = client.get(f"{JOBS}/{job_id}").json()
    return job


def wait_for_status(client: httpx.Client, job_id: str, status: str) -> None:
    wait_until(lambda: job_of(client, job_id)["status"] == status, status)


def result(client: httpx.Client, job_id: str) -> httpx.Response:
    return client.get(f"{JOBS}/{job_id}/result", params={"wait": 30})


def test_a_job_survives_the_kill_of_its_worker(
    client: httpx.Client, start_process: StartProcess, shared: dict[str, object]
) -> None:
    job_id = submit(client, COUNT)
    first = start_process("worker", **shared)
    wait_for_status(client, job_id, "running")
    first.kill()
    start_process("worker", **shared)
    response = result(client, job_id)
    assert response.status_code == 200, response.text
    assert response.json()["output_data"] == {"y": [float(COUNT)]}
    ended = job_of(client, job_id)
    assert (ended["retries"], ended["attempts"]) == (0, 2)


def test_a_worker_s_sign_of_life_is_seen_and_grows_old(
    start_process: StartProcess, shared: dict[str, object], tmp_path: Path
) -> None:
    settings = {**shared, "tmpdir": tmp_path}

    def check(name: str = "worker") -> int:
        named = {**settings, "worker_name": name}
        return start_process("check-worker", **named).child.process.wait(20)

    assert check() == 1
    worker = start_process("worker", **settings)
    wait_until(lambda: any(tmp_path.glob("*.alive")), "the sign of life")
    assert check() == 0
    # One that lives does not answer for one that doesn't.
    assert check("second") == 1
    second = start_process("worker", **settings, worker_name="second")
    wait_until((tmp_path / "mlforge-second.alive").exists, "the second")
    assert check("second") == 0
    worker.kill()
    file = tmp_path / "mlforge-worker.alive"
    os.utime(file, (1, 1))
    assert (check(), check("second")) == (1, 0)
    second.stop()
    assert check("second") == 1


def test_a_worker_that_cannot_see_the_files_is_not_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pulse = Pulse("astray")
    pulse.beat(is_well=False)
    assert "the same DATA_DIR" in (pulse.trouble(5.0) or "")
    pulse.beat(is_well=True)
    assert pulse.trouble(5.0) is None


def test_a_worker_makes_way_for_the_server_of_its_machine(
    client: httpx.Client, start_process: StartProcess, shared: dict[str, object]
) -> None:
    worker = start_process("worker", **shared)
    assert result(client, submit(client, 1)).status_code == 200
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert psutil.Process(worker.child.pid).nice() == min(ours + 10, 19)


def test_a_worker_with_a_frozen_redis_works_and_stops(
    client: httpx.Client,
    start_process: StartProcess,
    shared: dict[str, object],
    private_redis: OwnRedis,
) -> None:
    worker = start_process("worker", **shared)
    assert result(client, submit(client, 1)).status_code == 200
    private_redis.freeze()
    assert result(client, submit(client, 2)).status_code == 200
    assert worker.stop() == 0
    private_redis.thaw()


def test_a_job_waits_for_a_worker_when_redis_lost_everything(
    client: httpx.Client,
    start_process: StartProcess,
    shared: dict[str, object],
    private_redis: OwnRedis,
) -> None:
    job_ids = [submit(client, n) for n in range(1, 6)]
    private_redis.flush()
    start_process("worker", **shared)
    for job_id in job_ids:
        assert result(client, job_id).status_code == 200
