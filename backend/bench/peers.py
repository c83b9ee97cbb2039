"""Other servers, each in an environment of its own under `--venvs`.

`bench/setup-peers.sh FOLDER` makes those; a peer whose environment is missing is left
out, and said so. Each serves one model under the name `bench`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.grpc_load import GrpcLoad
from bench.payloads import payload
from bench.subjects import Served, started
from tests.processes import free_port

APPS = Path(__file__).with_name("peer_apps")
MLSERVER, KSERVE, LITSERVE, BENTOML = "MLServer", "kserve", "LitServe", "BentoML"
TRITON, TRITON_BATCHING = "Triton", "Triton, batching"
BATCH = 32


@dataclass(frozen=True, slots=True)
class Peer:
    """`command` may name {python}, {bin}, {apps}, {port}, {grpc}, {metrics}, {folder}."""

    venv: str
    command: tuple[str, ...]
    ready: str
    form: str
    environment: Mapping[str, str]
    setup: tuple[str, ...] = ()
    speaks_grpc: bool = False


def _triton(batch: int) -> Peer:
    return Peer(
        "pytriton2",
        ("{folder}/run.sh", "{port}", "{grpc}"),
        "/v2/models/bench/ready",
        "v2-json",
        {"BENCH_BATCH": str(batch)},
        setup=("{python}", "{apps}/triton_repository.py", "{folder}"),
        speaks_grpc=True,
    )


PEERS = {
    MLSERVER: Peer(
        "mlserver",
        ("{bin}/mlserver", "start", "{folder}"),
        "/v2/models/bench/ready",
        "v2-json",
        {
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{grpc}",
            "MLSERVER_METRICS_PORT": "{metrics}",
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_PARALLEL_WORKERS": "0",
        },
        speaks_grpc=True,
    ),
    KSERVE: Peer(
        "kserve",
        (
            *("{python}", "{apps}/kserve_app.py"),
            *("--http_port", "{port}", "--grpc_port", "{grpc}"),
        ),
        "/v2/models/bench/ready",
        "v2-json",
        {},
        speaks_grpc=True,
    ),
    LITSERVE: Peer(
        "litserve",
        ("{python}", "{apps}/litserve_app.py"),
        "/health",
        "inputs-json",
        {},
    ),
    BENTOML: Peer(
        "bentoml",
        (
            *("{bin}/bentoml", "serve", "bentoml_app:Bench"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        "/readyz",
        "named-json",
        {},
    ),
    TRITON: _triton(0),
    TRITON_BATCHING: _triton(BATCH),
}


def available(names: tuple[str, ...], venvs: Path | None) -> list[str]:
    """Those of `names` that can be started here; says which can't."""
    found = []
    for name in names:
        if venvs is not None and _python(PEERS[name], venvs).exists():
            found.append(name)
        else:
            sys.stderr.write(
                f"{name} is left out: --venvs has no {PEERS[name].venv}; "
                "bench/setup-peers.sh makes it\n"
            )
    return found


@contextmanager
def peers(
    names: list[str], venvs: Path | None, model: Path
) -> Iterator[dict[str, Served]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(peer(PEERS[name], venvs, model))
            for name in names
            if venvs is not None
        }


@contextmanager
def peer(told: Peer, venvs: Path, model: Path) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        python = _python(told, venvs)
        # Below 32768: one peer takes its port for a short number.
        port, grpc, metrics = free_port(), free_port(), free_port()
        words = {
            "python": str(python),
            "bin": str(python.parent),
            "apps": str(APPS),
            "port": str(port),
            "grpc": str(grpc),
            "metrics": str(metrics),
            "folder": folder,
        }
        environment = _environment(told, words, model)
        _write_mlserver_settings(Path(folder))
        if told.setup:
            setup = [word.format(**words) for word in told.setup]
            subprocess.run(setup, env=environment, check=True, timeout=120)
        command = [word.format(**words) for word in told.command]
        ready = f"http://127.0.0.1:{port}{told.ready}"
        with started(command, environment, ready, timeout_s=120) as child:
            rpc = GrpcLoad(f"127.0.0.1:{grpc}", model) if told.speaks_grpc else None
            yield Served(
                child, port, model, lambda form: payload(form, model.stem), rpc
            )


def _python(told: Peer, venvs: Path) -> Path:
    return venvs.resolve() / told.venv / "bin" / "python"


def _environment(told: Peer, words: Mapping[str, str], model: Path) -> dict[str, str]:
    """Ours without what would lead a peer to our packages or to a proxy."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "PATH": words["bin"] + os.pathsep + kept.get("PATH", ""),
        "PYTHONPATH": str(APPS),
        "ORT_DISABLE_TELEMETRY": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "BENCH_MODEL": str(model.resolve()),
        "BENCH_PORT": words["port"],
        **{name: value.format(**words) for name, value in told.environment.items()},
    }


def _write_mlserver_settings(folder: Path) -> None:
    """What MLServer reads in its folder; others do not look."""
    settings = {"debug": False, "metrics_endpoint": None}
    model = {"name": "bench", "implementation": "mlserver_app.Runtime"}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
