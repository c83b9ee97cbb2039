"""What is measured side by side: servers, each started once and frozen between loads."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import httpx

from bench import answers, wrk
from bench.cpu import watched
from bench.figures import Figures
from bench.grpc_load import GrpcLoad
from bench.payloads import Payload, payload
from tests.live import LiveServer
from tests.processes import Child, free_port, wait_until

BACKEND = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a subject: the name of the subject, a form, how many at once."""

    subject: str
    form: str
    connections: int
    cached: bool = False


class Subject(Protocol):
    """Something that answers predictions of one model."""

    def check(self, form: str) -> None:
        """Raises unless the answers are bare ONNX Runtime's."""

    def measure(self, load: Load, seconds: float) -> Figures: ...


@dataclass(slots=True)
class Served:
    """A server on this machine. Frozen, it takes nothing of the CPU."""

    child: Child
    port: int
    path: Path
    make_payload: Callable[[str], Payload]
    grpc: GrpcLoad | None = None
    _payloads: dict[str, Payload] = field(default_factory=dict)

    def check(self, form: str) -> None:
        with self._awake():
            if form == "grpc":
                self._grpc().check()
                return
            answers.check(
                f"http://127.0.0.1:{self.port}", self._payload(form), self.path
            )

    def measure(self, load: Load, seconds: float) -> Figures:
        with self._awake():
            figures, shares = watched(self.child.pid, lambda: self._load(load, seconds))
        return replace(figures, server=shares.server, elsewhere=shares.elsewhere)

    def _load(self, load: Load, seconds: float) -> Figures:
        if load.form == "grpc":
            return self._grpc().measure(load.connections, seconds)
        return wrk.load(
            self.port,
            self._payload(load.form),
            connections=load.connections,
            seconds=seconds,
            repeat=load.cached,
        )

    @contextmanager
    def _awake(self) -> Iterator[None]:
        self.child.thaw()
        try:
            yield
        finally:
            self.child.freeze()

    def _grpc(self) -> GrpcLoad:
        if self.grpc is None:
            raise ValueError("this server is not measured by gRPC")
        return self.grpc

    def _payload(self, form: str) -> Payload:
        if form not in self._payloads:
            self._payloads[form] = self.make_payload(form)
        return self._payloads[form]


@contextmanager
def mlforge(
    model: Path,
    *arguments: str,
    serving: Mapping[str, object] | None = None,
    **settings: object,
) -> Iterator[Served]:
    """`mlforge serve`, all embedded unless told, with `model` uploaded as `bench`."""
    with tempfile.TemporaryDirectory() as folder:
        server = LiveServer(
            *arguments,
            folder=Path(folder),
            settings={"access_log": "false", "log_level": "WARNING", **settings},
        )
        try:
            upload(server.url, model.read_bytes(), "bench", serving)
            port = int(server.url.rpartition(":")[2])
            yield Served(
                server.child,
                port,
                model,
                lambda form: payload(form, model.stem),
                GrpcLoad(server.grpc_target, model),
            )
        finally:
            server.close()


def upload(
    url: str, model: bytes, name: str, serving: Mapping[str, object] | None = None
) -> None:
    metadata = {} if serving is None else {"serving": dict(serving)}
    answer = httpx.post(
        f"{url}/api/v1/models/upload",
        files={"file": (f"{name}.onnx", model)},
        data={"name": name, "metadata": json.dumps(metadata)},
        timeout=120,
    )
    answer.raise_for_status()


@contextmanager
def prototype(model: Path, *, workers: int = 1) -> Iterator[Served]:
    """The bare ASGI prototype under uvicorn."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.prototype:app"]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", "--workers", str(workers)]
    environment = os.environ | {
        "PROTOTYPE_MODEL": str(model.resolve()),
        "PYTHONPATH": str(BACKEND),
        "ORT_DISABLE_TELEMETRY": "1",
    }
    with started(command, environment, f"http://127.0.0.1:{port}/") as child:
        yield Served(child, port, model, lambda form: payload(form, model.stem))


@contextmanager
def started(
    command: list[str],
    environment: Mapping[str, str],
    ready_url: str,
    *,
    timeout_s: float = 60,
) -> Iterator[Child]:
    """A program that answers `ready_url`, ended at the end."""
    with tempfile.TemporaryDirectory() as folder:
        child = Child(
            command,
            log=Path(folder) / "log",
            cwd=Path(folder),
            env=dict(environment),
        )
        try:
            wait_until(
                lambda: _answers(child, ready_url),
                f"an answer of {ready_url}",
                timeout_s=timeout_s,
            )
            yield child
        finally:
            child.kill()


def _answers(child: Child, url: str) -> bool:
    if not child.is_running():
        raise RuntimeError(f"{child.process.args!r} ended:\n{child.output()[-2000:]}")
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
