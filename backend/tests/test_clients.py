"""The clients people have work unchanged: each runs its checks on a served MLForge."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest
from onnx import TensorProto

from tests import graphs
from tests.client_environment import SCRIPTS, run_client
from tests.live import LiveServer

CLIENTS = (
    *(f"triton:{kind}" for kind in ("http", "http.aio", "grpc", "grpc.aio")),
    *("kserve_sdk:rest", "kserve_sdk:grpc"),
)
CHECK = re.compile(r"^async def (check_\w+)", re.MULTILINE)
# Names of ONNX where they are others than numpy's.
IDENTITIES = {
    **{f"int{bits}": getattr(TensorProto, f"INT{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": getattr(TensorProto, f"UINT{bits}") for bits in (8, 16, 32, 64)},
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def checks() -> Iterator[tuple[str, str]]:
    for client in CLIENTS:
        text = (SCRIPTS / f"{client.partition(':')[0]}.py").read_text()
        for name in CHECK.findall(text):
            yield client, name


class Outcomes:
    """What each client's run of its checks gave; each runs once."""

    def __init__(self, server: LiveServer, model_file: Path) -> None:
        self._server = server
        self._model_file = model_file
        self.of = cache(self._run)

    def _run(self, client: str) -> dict[str, str]:
        http = self._server.url.removeprefix("http://")
        rpc = self._server.grpc_target
        told = run_client("run.py", client, http, rpc, self._model_file)
        outcome: dict[str, str] = json.loads(told)
        return outcome


def put(server: LiveServer, name: str, model: bytes, version: str = "1.0.0") -> None:
    answer = httpx.post(
        f"{server.url}/api/v1/models/upload",
        files={"file": ("model.onnx", model)},
        data={"name": name, "version": version},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    folder = tmp_path_factory.mktemp("clients")
    model_file = folder / "model.onnx"
    model_file.write_bytes(graphs.affine(3.0))
    server = LiveServer(folder=folder, settings={"cache_ttl_s": 0})
    try:
        put(server, "line", graphs.affine(2.0), "1.0.0")
        put(server, "line", graphs.affine(3.0), "2.0.0")
        alias = f"{server.url}/api/v1/models/by-name/line/aliases/best"
        assert httpx.put(alias, json={"version": "1.0.0"}).status_code == 200
        put(server, "counted", graphs.affine(3.0))
        put(server, "pair", graphs.two_inputs())
        put(server, "square", graphs.scalar())
        put(server, "zip", graphs.classifier_zipmap())
        for name, code in IDENTITIES.items():
            put(server, name, graphs.identity(code))
        yield Outcomes(server, model_file)
        assert "Traceback" not in server.logs()
    finally:
        server.close()


@pytest.mark.parametrize(("client", "check"), list(checks()))
def test_a_client_works_unchanged(outcomes: Outcomes, client: str, check: str) -> None:
    outcome = outcomes.of(client)[check]
    assert outcome == "ok", outcome
