"""Several server processes on one port act as one server."""

import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import grpc
import httpx
import psutil
import pytest

from tests import graphs
from tests.conftest import StartProcess, StartServer
from tests.e2e.crews import API, Line, line_to_each, pids
from tests.live import LiveServer
from tests.processes import wait_until

# A change reaches every process within a second; machines in tests are slow.
WITHIN_S = 2.0


@pytest.fixture
def crew(start_server: StartServer) -> LiveServer:
    return start_server("--workers", "2", access_log=False)


@pytest.fixture
def lines(crew: LiveServer) -> Iterator[list[Line]]:
    with line_to_each(crew) as lines:
        yield lines


def seen(ready: Callable[[], bool], what: str) -> None:
    wait_until(ready, what, timeout_s=WITHIN_S)


def test_one_line_tells_that_all_listen(crew: LiveServer) -> None:
    crew.wait_for_log("Ctrl-C stops it")
    said = f"MLForge listens on {crew.url} (API: {crew.url}/docs, gRPC: "
    assert f"{said}{crew.grpc_target}, 2 workers). Ctrl-C stops it." in crew.logs()
    assert crew.logs().count("listens on") == 1
    assert len(pids(crew)) == 2
    health = httpx.get(f"{crew.url}/health").json()
    assert health["workers"] == {"alive": 2, "total": 2, "restarts": 0}
    assert crew.stop() == 0
    assert "Traceback" not in crew.logs()


def test_a_port_that_the_system_picks_is_one_for_all(
    start_process: StartProcess,
) -> None:
    crew = start_process("serve", workers=3, port=0, grpc_port=0, host="localhost")
    crew.wait_for_log("Ctrl-C stops it")
    told = re.search(r"http://127.0.0.1:(\d+) \(.*, 3 workers\)", crew.logs())
    assert told is not None
    url = f"http://127.0.0.1:{told[1]}/health"
    for _ in range(8):
        assert httpx.get(url).json()["workers"]["alive"] == 3
    assert crew.interrupt() == 0


def test_what_one_process_changes_every_process_serves(lines: list[Line]) -> None:
    one, other = lines
    one.upload(graphs.affine(2.0), version="1.0.0")
    one.upload(graphs.affine(3.0), version="1.1.0")
    seen(lambda: version_of(other) == "1.1.0", "the newer version")
    alias = f"{API}/models/by-name/line/aliases/production"
    other.put(alias, json={"version": "1.0.0"})
    assert version_of(other) == "1.0.0"
    seen(lambda: version_of(one) == "1.0.0", "the alias")
    one.delete(alias)
    seen(lambda: version_of(other) == "1.1.0", "the alias's end")
    other.patch(f"{API}/models/line:1.1.0", json={"status": "archived"})
    seen(lambda: version_of(one) == "1.0.0", "the archiving")
    one.delete(f"{API}/models/line:1.0.0")
    seen(lambda: other.predict(1).status_code == 409, "the delete")


def version_of(line: Line) -> object:
    return line.predict(1).json()["model_version"]


def test_a_new_model_is_known_to_every_process_at_once(
    start_server: StartServer,
) -> None:
    # So seldom that a look of its own accord would come too late.
    crew = start_server("--workers", "2", registry_poll_s=0.5)
    with line_to_each(crew) as (one, other):
        for number in range(4):
            name = f"line{number}"
            one.upload(name=name)
            if number % 2:
                assert other.predict(1, name).status_code == 200
            else:
                assert other.get(f"/v2/models/{name}").status_code == 200


def test_clearing_the_cache_reaches_every_process(lines: list[Line]) -> None:
    lines[0].upload()
    for line in lines:
        line.predict(1)
        assert line.predict(1).headers["x-cache"] == "HIT"
    lines[0].delete(f"{API}/models/line/cache")
    assert lines[0].predict(1).headers["x-cache"] == "MISS"
    seen(lambda: lines[1].predict(1).headers["x-cache"] == "MISS", "the new epoch")


def test_any_process_tells_what_all_did(lines: list[Line]) -> None:
    lines[0].upload()
    for line, calls in zip(lines, (3, 4), strict=True):
        for number in range(calls):
            line.predict(number)
        line.predict(0)
    for line in lines:
        assert line.sample("mlforge_inference_requests_total") == 9
        assert line.sample("mlforge_inference_duration_seconds_count") == 7
        assert line.sample("mlforge_build_info") == 1
        assert line.sample("mlforge_workers") == 2
        assert line.sample("process_start_time_seconds") > 2e9
        cache = line.get(f"{API}/cache/metrics").json()["prediction_cache"]
        assert (cache["misses"], cache["hits"], cache["entries"]) == (7, 2, 7)
        [stats] = line.get("/v2/models/line/stats").json()["model_stats"]
        assert stats["execution_count"] == 7
        assert stats["inference_stats"]["success"]["count"] == 9
        assert stats["inference_stats"]["cache_hit"]["count"] == 2
    reset = lines[1].post(f"{API}/cache/metrics/reset").json()["prediction_cache"]
    assert (reset["misses"], reset["hits"], reset["entries"]) == (0, 0, 7)


def test_counts_outlive_the_process_that_counted(
    crew: LiveServer, lines: list[Line]
) -> None:
    one, other = lines
    one.upload()
    for number in range(5):
        one.predict(number)
    assert other.sample("mlforge_inference_requests_total") == 5
    psutil.Process(one.pid).kill()
    wait_until(lambda: restarts(other) == 1, "the replacement")
    assert other.sample("mlforge_inference_requests_total") == 5
    assert other.sample("mlforge_worker_restarts_total") == 1
    cache = other.get(f"{API}/cache/metrics").json()["prediction_cache"]
    assert (cache["misses"], cache["entries"]) == (5, 0)
    with line_to_each(crew) as fresh:
        for line in fresh:
            line.predict(100)
            [stats] = line.get("/v2/models/line/stats").json()["model_stats"]
        assert stats["inference_stats"]["success"]["count"] == 7


def restarts(line: Line) -> int:
    """Of processes that are ready again."""
    workers = line.get("/health").json()["workers"]
    return int(workers["restarts"]) if workers["alive"] == workers["total"] else 0


def test_a_killed_process_fails_only_those_it_had_in_hand(
    crew: LiveServer, lines: list[Line]
) -> None:
    one, other = lines
    one.upload()
    one.upload(graphs.counted_loop(), name="loop")
    body = {"input_data": {"x": [0.0], "n": 100_000_000}}
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(one.post, f"{API}/models/loop/predict", json=body)
        # The run and the one who reads the page.
        wait_until(lambda: other.sample("mlforge_inflight") == 2, "the run")
        psutil.Process(one.pid).kill()
        with pytest.raises(httpx.TransportError):
            run.result()
    # Its queue is kept for the one that takes its place: nobody is refused.
    for number in range(40):
        assert httpx.get(f"{crew.url}{API}/ready", timeout=30).status_code == 200
        assert other.predict(number).status_code == 200
    wait_until(lambda: restarts(other) == 1, "the replacement")
    with line_to_each(crew) as fresh:
        assert {line.predict(1).status_code for line in fresh} == {200}
        assert one.pid not in {line.pid for line in fresh}
    assert "was ended by SIGKILL; another takes its place" in crew.logs()
    assert crew.stop() == 0


@contextmanager
def long_runs(lines: list[Line], trips: int) -> Iterator[list[object]]:
    """Predictions under way, one in each process; their answers, once they end."""
    loop = f"{API}/models/loop/predict"
    body = {"input_data": {"x": [0.0], "n": trips}}
    with ThreadPoolExecutor(len(lines)) as threads:
        runs = [threads.submit(line.post, loop, json=body) for line in lines]
        answers: list[object] = []
        yield answers
        answers += [run.result().status_code for run in runs]


def test_the_end_waits_for_what_was_begun(crew: LiveServer, lines: list[Line]) -> None:
    lines[0].upload(graphs.counted_loop(), name="loop")
    with closing(Line(crew)) as watcher, long_runs(lines, 1_000_000) as answers:
        # The runs and the one who reads the page.
        wait_until(lambda: watcher.sample("mlforge_inflight") == 3, "both runs")
        assert crew.stop() == 0
    assert answers == [200, 200]
    assert "killed" not in crew.logs()


def test_a_second_interrupt_ends_all_at_once(
    crew: LiveServer, lines: list[Line]
) -> None:
    lines[0].upload(graphs.counted_loop(), name="loop")
    with closing(Line(crew)) as watcher, ThreadPoolExecutor(1) as threads:
        body = {"input_data": {"x": [0.0], "n": 10**15}}
        threads.submit(lines[0].post, f"{API}/models/loop/predict", json=body)
        wait_until(lambda: watcher.sample("mlforge_inflight") == 2, "the run")
        crew.child.process.send_signal(signal.SIGINT)
        wait_until(lambda: is_stopping(crew), "the end's begin")
        assert crew.interrupt() == 0


def is_stopping(crew: LiveServer) -> bool:
    try:
        return httpx.get(f"{crew.url}{API}/ready").status_code == 503
    except httpx.TransportError:
        return True


def test_without_a_supervisor_the_processes_end(crew: LiveServer) -> None:
    children = [psutil.Process(pid) for pid in pids(crew)]
    crew.child.process.kill()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert (len(gone), alive) == (2, [])


def test_a_job_runs_in_a_process_that_is_free(start_server: StartServer) -> None:
    crew = start_server("--workers", "2", job_concurrency=1, job_sweep_s=600)
    with line_to_each(crew) as (one, _other):
        one.upload(graphs.counted_loop(), name="loop")
        long = submit(one, 10**15)
        wait_until(lambda: status_of(one, long) == "running", "the long job")
        short = submit(one, 3)
        result = one.get(f"{API}/jobs/{short}/result?wait=5")
        assert result.status_code == 200
        one.post(f"{API}/jobs/{long}/cancel")


def submit(line: Line, trips: int) -> str:
    body = {"model_id": "loop", "input_data": {"x": [0.0], "n": trips}}
    job_id: str = line.post(f"{API}/jobs", json=body).json()["id"]
    return job_id


def status_of(line: Line, job_id: str) -> object:
    return line.get(f"{API}/jobs/{job_id}").json()["status"]


def test_every_process_writes_to_one_sqlite_file(lines: list[Line]) -> None:
    lines[0].upload()

    def write(line: Line, number: int) -> list[int]:
        alias = f"{API}/models/by-name/line/aliases/of-{line.pid}-{number}"
        answers = [
            line.put(alias, json={"version": "1.0.0"}),
            line.patch(f"{API}/models/line", json={"description": alias}),
        ]
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(2) as threads:
        work = [threads.map(partial(write, line), range(30)) for line in lines]
        statuses = {status for each in work for pair in each for status in pair}
    assert statuses <= {200, 201}
    for line in lines:
        assert len(line.get(f"{API}/models/line").json()["aliases"]) == 60


def test_grpc_is_served_by_every_process(crew: LiveServer, lines: list[Line]) -> None:
    lines[0].upload()
    method = "/grpc.health.v1.Health/Check"
    before = [psutil.Process(line.pid).cpu_times().user for line in lines]
    assert len(before) == 2
    for _ in range(20):
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(crew.grpc_target, options) as channel:
            answer = channel.unary_unary(method)(b"", timeout=20)
        assert answer == b"\x08\x01"
    listening = [
        {
            one.laddr.port
            for one in psutil.Process(line.pid).net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        }
        for line in lines
    ]
    port = int(crew.grpc_target.rpartition(":")[2])
    assert all(port in ports for ports in listening)
    assert lines[1].sample("mlforge_rpc_duration_seconds_count") == 20
