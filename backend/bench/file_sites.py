"""The deployments that score a file: a server alone, and one with workers."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event

import httpx
import psutil

from app.enums import FileFormat
from bench.memory_watch import Roles
from tests.e2e.file_site import ENDED, JOBS, SOON_S, Site, Worker
from tests.exports import Export
from tests.live import LiveServer

_MODEL = "scorer"
_LOOK_S = 0.2
_SETTINGS: Mapping[str, object] = {"access_log": False, "inference_threads": 1}


@dataclass(frozen=True, slots=True)
class Deployment:
    """`roles` are its processes now."""

    name: str
    url: str
    roles: Callable[[], Roles]

    def upload(self, export: Export) -> None:
        names = json.dumps({"feature_names": export.feature_names})
        with self._client() as client, export.path.open("rb") as file:
            client.post(
                "/api/v1/models/upload",
                files={"file": (f"{export.name}.onnx", file)},
                data={"name": _MODEL, "metadata": names},
            ).raise_for_status()

    def submit(self, path: Path, format_: FileFormat) -> str:
        with self._client() as client, path.open("rb") as file:
            taken = client.post(
                JOBS,
                files={"file": (f"rows.{format_}", file)},
                data={"model_id": _MODEL},
            )
        taken.raise_for_status()
        job_id: str = taken.json()["id"]
        return job_id

    def seconds_of(self, job_id: str) -> float:
        """From the end of its upload to its own, which must be a good one."""
        pause = Event()
        with self._client() as client:
            while (job := client.get(f"{JOBS}/{job_id}").json())["status"] not in ENDED:
                pause.wait(_LOOK_S)
        assert job["status"] == "completed", job
        began, ended = (
            datetime.fromisoformat(job[name]) for name in ("created_at", "completed_at")
        )
        return (ended - began).total_seconds()

    def fetch(self, job_id: str, to: Path) -> None:
        with (
            self._client() as client,
            client.stream("GET", f"{JOBS}/{job_id}/result") as answer,
            to.open("wb") as file,
        ):
            answer.raise_for_status()
            for data in answer.iter_bytes():
                file.write(data)

    def delete(self, job_id: str) -> None:
        with self._client() as client:
            client.delete(f"{JOBS}/{job_id}").raise_for_status()

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=600)


@contextmanager
def embedded(folder: Path) -> Iterator[Deployment]:
    """SQLite and no Redis: a process beside the server scores files."""
    server = LiveServer(folder=folder, settings=_SETTINGS)

    def roles() -> Roles:
        return {"server": server.child.pid, **_children(server.child.pid)}

    try:
        yield Deployment("SQLite, embedded", server.url, roles)
    finally:
        server.close()


class Crew:
    """Workers of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._running: list[Worker] = []

    def resize(self, count: int) -> None:
        """The last ones end at once; they must have nothing in hand."""
        while len(self._running) > count:
            self._running.pop().close()
        while len(self._running) < count:
            self._running.append(self._site.start_worker())
        for worker in self._running:
            worker.wait_for_log(" started", timeout_s=SOON_S)

    def roles(self) -> Roles:
        workers = {f"worker {at}": w.child.pid for at, w in enumerate(self._running, 1)}
        return {"server": self._site.server.child.pid, **workers}


@contextmanager
def apart(
    folder: Path, settings: Mapping[str, object] | None = None
) -> Iterator[tuple[Deployment, Crew]]:
    """PostgreSQL and Redis, and as many workers as are wanted."""
    site = Site(folder, {**_SETTINGS, "job_lease_s": 30.0, **(settings or {})})
    crew = Crew(site)
    try:
        yield Deployment("PostgreSQL, Redis", site.server.url, crew.roles), crew
    finally:
        site.close()


def _children(pid: int) -> dict[str, int]:
    found: dict[str, int] = {}
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                is_files = "app.worker" in child.cmdline()
                found["file process" if is_files else "validation"] = child.pid
    return found
