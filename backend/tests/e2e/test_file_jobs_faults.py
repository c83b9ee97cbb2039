"""Whatever dies or freezes while a file is scored: no row is lost, none repeated,
none out of order, and the work goes on by itself."""

from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests import graphs
from tests.conftest import StartServer
from tests.e2e.file_site import JOBS, SOON_S, FileJob, Numbers, Site, Worker
from tests.live import LiveServer
from tests.processes import wait_until

NUMBERS = Numbers(rows=120_000, chunk_rows=3_000)
# Settings of a server without Redis, which scores files in a process of its own.
ALONE = {"job_lease_s": 1.0, "job_sweep_s": 0.3}
# What a worker has in hand at once.
IN_HAND = 2


@pytest.fixture(scope="module")
def common_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), {})
    yield site
    site.close()


@pytest.fixture
def site(common_site: Site) -> Iterator[Site]:
    yield common_site
    common_site.stop_workers()


@pytest.fixture
def job(site: Site) -> FileJob:
    return site.submit(NUMBERS)


def test_an_undisturbed_run_gives_what_the_others_are_compared_with(
    site: Site, job: FileJob
) -> None:
    site.start_worker()
    job.check()
    assert job.redone() == 0


def test_a_worker_is_killed_at_a_chunk(site: Site, job: FileJob) -> None:
    workers = [site.start_worker(), site.start_worker()]
    wait_until(lambda: job.in_hand(workers[0]) > 0, "a chunk in hand", timeout_s=SOON_S)
    workers[0].kill()
    job.check()
    assert job.redone() <= IN_HAND


def test_the_only_worker_is_killed_and_another_starts(site: Site, job: FileJob) -> None:
    for done in (2, 8):
        worker = site.start_worker()
        job.wait_for_chunks(done)
        worker.kill()
    site.start_worker()
    job.check()
    assert job.redone() <= 2 * IN_HAND


def test_a_worker_is_killed_between_the_part_and_its_commit(
    site: Site, job: FileJob
) -> None:
    worker = site.start_worker()
    job.wait_for_chunks(2)
    with job.commits_held():
        wait_until(lambda: job.commits_waiting() > 0, "a part that is written")
        done = job.chunks("done")
        worker.kill()
    assert len(list(job.parts.glob("*.arrow"))) > done
    assert job.chunks("done") == done
    site.start_worker()
    job.check()
    assert job.redone() <= IN_HAND


def test_a_worker_that_freezes_past_its_lease_writes_nothing_when_it_wakes(
    site: Site, job: FileJob
) -> None:
    frozen = site.start_worker()
    job.wait_for_chunks(2)
    _freeze_at_work(frozen, job)
    site.start_worker()
    job.check()
    before = job.look()
    frozen.child.thaw()
    wait_until(
        lambda: "no longer ours" in frozen.logs() or "failed" in frozen.logs(),
        "the late writer's log",
    )
    job.check()
    assert job.look() == before
    assert frozen.stop() == 0


def test_a_worker_that_is_told_to_stop_gives_its_chunks_back(
    site: Site, job: FileJob
) -> None:
    worker = site.start_worker()
    job.wait_for_chunks(2)
    assert worker.stop() == 0
    assert job.chunks("running") == 0
    assert job.look()["status"] == "running"
    site.start_worker()
    job.check()


def test_the_server_is_killed_and_the_workers_go_on(site: Site, job: FileJob) -> None:
    site.start_worker()
    job.wait_for_chunks(2)
    site.server.kill()
    job.wait_for_chunks(NUMBERS.chunks)
    site.start_server()
    job.check()
    assert job.redone() == 0


def test_redis_is_killed(site: Site, job: FileJob) -> None:
    site.start_worker()
    job.wait_for_chunks(2)
    site.redis.kill()
    job.check()
    later = site.submit(NUMBERS)
    later.check()
    site.redis.restart()


def test_redis_freezes(site: Site, job: FileJob) -> None:
    site.start_worker()
    job.wait_for_chunks(2)
    site.redis.freeze()
    job.check()
    site.redis.thaw()


def test_redis_is_flushed_before_and_while_a_job_runs(site: Site, job: FileJob) -> None:
    site.redis.flush()
    site.start_worker()
    job.wait_for_chunks(2)
    site.redis.flush()
    job.check()
    assert job.redone() == 0


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_postgresql_is_restarted(site: Site, job: FileJob, how: str) -> None:
    site.start_worker()
    job.wait_for_chunks(2)
    if how == "killed":
        site.postgres.kill()
    site.postgres.restart()
    job.check()


def test_a_server_without_workers_is_killed_and_started_again(
    start_server: StartServer,
) -> None:
    server = start_server(**ALONE)
    place = _submit(server)
    _wait_for_chunks(server, place, 2)
    server.kill()
    again = start_server(**ALONE)
    _check(again, place)


def test_the_process_beside_a_server_is_killed(start_server: StartServer) -> None:
    server = start_server(**ALONE)
    place = _submit(server)
    _wait_for_chunks(server, place, 2)
    [beside] = _beside(server)
    beside.kill()
    _check(server, place)
    [another] = _beside(server)
    assert another.pid != beside.pid
    scored = 'mlforge_job_rows_total{outcome="scored"}'
    page = httpx.get(f"{server.url}/metrics").text
    assert any(line.startswith(scored) for line in page.splitlines())
    assert server.stop() == 0
    assert not another.is_running()


def _submit(server: LiveServer) -> str:
    """The place of a job on the server's one model."""
    model = graphs.affine(width=2, feature_names=["a", "b"])
    with httpx.Client(base_url=server.url, timeout=60) as client:
        client.post("/api/v1/models/upload", files={"file": ("line.onnx", model)})
        taken = client.post(
            JOBS,
            files={"file": ("numbers.csv", NUMBERS.content, "text/csv")},
            data={"model_id": "line", "chunk_rows": str(NUMBERS.chunk_rows)},
        ).json()
    return f"{JOBS}/{taken['id']}"


def _job(server: LiveServer, place: str) -> dict[str, Any]:
    job: dict[str, Any] = httpx.get(server.url + place, timeout=60).json()
    return job


def _wait_for_chunks(server: LiveServer, place: str, count: int) -> None:
    wait_until(
        lambda: _job(server, place)["chunks"]["done"] >= count,
        f"{count} chunks",
        timeout_s=SOON_S,
    )


def _check(server: LiveServer, place: str) -> None:
    wait_until(
        lambda: _job(server, place)["status"] == "completed",
        "the job's end",
        timeout_s=SOON_S,
    )
    result = httpx.get(f"{server.url}{place}/result", timeout=60)
    assert result.content == NUMBERS.result


def _beside(server: LiveServer) -> list[psutil.Process]:
    """The processes that score the server's files."""
    children = psutil.Process(server.child.pid).children(recursive=True)
    return [child for child in children if "app.worker" in child.cmdline()]


def _freeze_at_work(worker: Worker, job: FileJob) -> None:
    """Stops the worker with a chunk in hand and no transaction open."""

    def is_frozen() -> bool:
        worker.child.freeze()
        if job.in_hand(worker) and not job.site.open_transactions():
            return True
        worker.child.thaw()
        return False

    wait_until(is_frozen, "a worker frozen at work", timeout_s=SOON_S)
