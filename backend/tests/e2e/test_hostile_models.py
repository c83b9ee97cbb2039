"""Files made to do harm, sent to a real server by its real door."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil

from tests import graphs, hostile
from tests.conftest import StartServer
from tests.live import LiveServer

UPLOAD = "/api/v1/models/upload"
MIB = 2**20


def upload(server: LiveServer, made: hostile.Hostile) -> httpx.Response:
    files = [("file", ("m.onnx", made.model))]
    files += [("data", item) for item in made.companions.items()]
    return httpx.post(server.url + UPLOAD, files=files, timeout=120)


def fault(server: LiveServer, made: hostile.Hostile) -> str | None:
    answer = upload(server, made)
    is_whole = answer.status_code == 422 and made.says in answer.json()["detail"]
    leaks = "root:" in answer.text or "Traceback" in answer.text
    return (
        None
        if is_whole and not leaks
        else f"{made.name}: {answer.status_code} {answer.text[:300]}"
    )


def test_hostile_models_are_refused_and_the_server_stays_small(
    start_server: StartServer,
) -> None:
    server = start_server(
        validation_timeout_s=6,
        validation_cpu_s=5,
        validation_memory_mb=1024,
        validation_spares=2,
        validation_concurrency=2,
    )
    process = psutil.Process(server.child.process.pid)
    good = hostile.Hostile("good", graphs.affine(), "")
    assert upload(server, good).status_code == 201
    before = process.memory_info().rss
    with ThreadPoolExecutor(2) as callers:
        faults = list(callers.map(lambda made: fault(server, made), hostile.sample()))
    assert not any(faults), "\n".join(filter(None, faults))
    assert process.memory_info().rss - before < 64 * MIB
    # None of them kept the door shut, nor left a file.
    assert upload(server, good).status_code == 200
    models = httpx.get(server.url + "/api/v1/models").json()
    assert models["total"] == 1
    assert "Traceback" not in server.logs()


def test_companions_cannot_leave_the_upload(start_server: StartServer) -> None:
    server = start_server()
    for name in ("../x", "/etc/passwd", "a/b", ".hidden", "model.onnx", "x" * 200):
        made = hostile.Hostile("companion", graphs.add_one(), "", {name: b"x"})
        answer = upload(server, made)
        assert answer.status_code == 422, answer.text
        assert "Traceback" not in answer.text
