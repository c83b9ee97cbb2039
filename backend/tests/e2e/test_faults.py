"""Kill what runs, and look at what is left."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import graphs
from tests.conftest import StartServer
from tests.live import LiveServer
from tests.processes import wait_until
from tests.redis_server import OwnRedis

UPLOAD = "/api/v1/models/upload"
PREDICT = "/api/v1/models/line/predict"
BOUNDARY = "edge"


def begin_upload(server: LiveServer, sent: bytes, *, promised: int) -> socket.socket:
    """Sends the head of an upload and some of its file, and leaves it there."""
    part = (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=file; "
        f'filename="big.onnx"\r\n\r\n'
    )
    head = (
        f"POST {UPLOAD} HTTP/1.1\r\nHost: test\r\nContent-Length: {promised}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(head.encode() + part.encode() + sent)
    return connection


def staged_bytes(folder: Path) -> int:
    files = [path for path in folder.glob("data/staging/**/*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def test_a_server_killed_in_an_upload_leaves_nothing(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    size = 8 * 2**20
    with begin_upload(server, b"x" * size, promised=3 * size):
        wait_until(lambda: staged_bytes(tmp_path) >= size // 2, "bytes in staging")
        server.kill()
    assert staged_bytes(tmp_path) > 0
    again = start_server()
    wait_until(lambda: not staged_bytes(tmp_path), "a clean staging folder")
    models = httpx.get(f"{again.url}/api/v1/models").json()
    assert models["total"] == 0
    assert not list(tmp_path.glob("data/artifacts/*/*"))


def test_an_acknowledged_upload_survives_a_kill(start_server: StartServer) -> None:
    server = start_server()
    upload = httpx.post(
        server.url + UPLOAD, files={"file": ("line.onnx", graphs.affine())}, timeout=30
    )
    assert upload.status_code == 201
    server.kill()
    again = start_server()
    answer = httpx.post(
        again.url + PREDICT, json={"input_data": {"x": [[1, 2, 3]]}}, timeout=30
    )
    assert answer.json()["output_data"] == {"y": [[3.0, 5.0, 7.0]]}


def test_uploads_of_one_version_at_once_make_one(live_server: LiveServer) -> None:
    start = threading.Barrier(6)

    def upload(k: int) -> int:
        model = graphs.affine(float(k))
        start.wait(30)
        return httpx.post(
            live_server.url + UPLOAD,
            files={"file": ("line.onnx", model)},
            data={"name": "line", "version": "3.0.0"},
            timeout=60,
        ).status_code

    with ThreadPoolExecutor(6) as threads:
        statuses = sorted(threads.map(upload, range(6)))
    assert statuses == [201, 409, 409, 409, 409, 409]
    models = httpx.get(f"{live_server.url}/api/v1/models").json()
    assert models["total"] == 1


class Traffic:
    """Sends predictions from several threads until it is told to stop.

    Each input is new, and its right answer is known.
    """

    def __init__(self, url: str, *, threads: int = 4) -> None:
        self.wrong: list[str] = []
        self.answered = 0
        self._url = url
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._send, args=(n,)) for n in range(threads)
        ]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for_more(self, count: int) -> None:
        wanted = self.answered + count
        wait_until(lambda: self.answered >= wanted, f"{count} more answers")

    def _send(self, thread: int) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                x = float(number * 8 + thread)
                self._note(x, client.post(PREDICT, json=_body(x)))

    def _note(self, x: float, response: httpx.Response) -> None:
        right = response.status_code == 200 and response.json()["output_data"] == {
            "y": [[2 * x + 1, 1.0, 1.0]]
        }
        with self._lock:
            self.answered += 1
            if not right:
                self.wrong.append(response.text)


def _body(x: float) -> dict[str, Any]:
    return {"input_data": {"x": [[x, 0, 0]]}}


@pytest.mark.parametrize("trouble", [OwnRedis.kill, OwnRedis.freeze])
def test_redis_in_trouble_fails_no_prediction(
    start_server: StartServer,
    postgres_dsn: str,
    private_redis: OwnRedis,
    trouble: Callable[[OwnRedis], None],
) -> None:
    server = start_server(database_url=postgres_dsn, redis_url=private_redis.url)
    files = {"file": ("line.onnx", graphs.affine())}
    assert httpx.post(server.url + UPLOAD, files=files, timeout=30).status_code == 201
    with Traffic(server.url) as traffic:
        traffic.wait_for_more(50)
        trouble(private_redis)
        traffic.wait_for_more(200)
        health = httpx.get(f"{server.url}/api/v1/health", timeout=30)
    assert traffic.wrong == []
    assert health.status_code == 200
    assert health.json()["status"] == "degraded"
    assert health.json()["redis"] == "disconnected"
    metrics = httpx.get(f"{server.url}/metrics", timeout=30).text
    assert "mlforge_cache_errors_total{" in metrics
    assert server.stop() == 0


def test_a_signal_ends_the_server_cleanly(start_server: StartServer) -> None:
    server = start_server()
    assert server.interrupt() == 0
    assert "Traceback" not in server.logs()


def test_a_prediction_cut_by_the_end_of_the_server_says_so(
    start_server: StartServer,
) -> None:
    server = start_server(shutdown_grace_s=1)
    files = {"file": ("loop.onnx", graphs.counted_loop())}
    assert httpx.post(server.url + UPLOAD, files=files, timeout=30).status_code == 201
    loop = f"{server.url}/api/v1/models/loop/predict"
    endless = {"input_data": {"x": [0.0], "n": 10**15}}
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(httpx.post, loop, json=endless, timeout=30)
        metrics = f"{server.url}/metrics"
        wait_until(lambda: "mlforge_inflight 2.0" in httpx.get(metrics).text, "a run")
        assert server.stop() == 0
        answer = waiting.result()
    assert answer.status_code == 503
    assert answer.json()["code"] == "shutting_down"
    assert answer.headers["retry-after"]


ENDLESS = {"input_data": {"x": [0.0], "n": 10**15}}
ENDLESS_OIP = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [0]},
        {"name": "n", "datatype": "INT64", "shape": [], "data": [10**15]},
    ]
}


@pytest.mark.parametrize(
    ("path", "endless"),
    [("/api/v1/models/loop/predict", ENDLESS), ("/v2/models/loop/infer", ENDLESS_OIP)],
    ids=["api", "oip"],
)
def test_a_caller_who_hangs_up_frees_the_model(
    start_server: StartServer, path: str, endless: dict[str, Any]
) -> None:
    server = start_server(inference_threads=1)
    files = {"file": ("loop.onnx", graphs.counted_loop())}
    assert httpx.post(server.url + UPLOAD, files=files, timeout=30).status_code == 201
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.url + path, json=endless, timeout=1)
    # The server's own limit, 30 s, is further away than this waits.
    gauge = "mlforge_inflight 1.0"
    metrics = f"{server.url}/metrics"
    wait_until(lambda: gauge in httpx.get(metrics).text, "the end of the run")


def test_a_corrupted_model_file_is_never_served(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    files = {"file": ("line.onnx", graphs.affine())}
    assert httpx.post(server.url + UPLOAD, files=files, timeout=30).status_code == 201
    assert server.stop() == 0
    (model,) = tmp_path.glob("data/artifacts/*/*/model.onnx")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o600)
    model.write_bytes(content)
    again = start_server()
    answer = httpx.post(again.url + PREDICT, json=_body(1.0), timeout=30)
    assert answer.status_code == 500
    assert answer.json()["code"] == "artifact_corrupt"
    assert str(tmp_path) not in answer.text
    assert "artifact_corrupt" in again.logs()
    metrics = httpx.get(f"{again.url}/metrics").text
    assert "mlforge_artifacts_corrupt_total 1.0" in metrics
    # The same file sent again mends it.
    assert httpx.post(again.url + UPLOAD, files=files, timeout=30).status_code == 200
    answer = httpx.post(again.url + PREDICT, json=_body(1.0), timeout=30)
    assert answer.json()["output_data"] == {"y": [[3.0, 1.0, 1.0]]}


def test_a_large_upload_takes_little_memory(start_server: StartServer) -> None:
    server = start_server()
    process = psutil.Process(server.child.process.pid)
    before = process.memory_info().rss
    size = 192 * 2**20
    chunk = b"\0" * 2**20
    with begin_upload(server, b"", promised=size + 2**12) as connection:
        for _ in range(size // len(chunk)):
            connection.sendall(chunk)
        peak = process.memory_info().rss
    assert peak - before < 64 * 2**20
