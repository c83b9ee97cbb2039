"""`mlforge bench` against a real server and tiny models."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree as ET

import httpx
import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from tests import graphs
from tests.live import MLFORGE, LiveServer
from tests.processes import free_port

ALL = "v1-json,v2-json,v2-binary,grpc"
QUICK = ("--seconds", "0.2", "--concurrency", "2")

Bench = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One for all: each test uploads models of its own."""
    folder = tmp_path_factory.mktemp("bench")
    server = LiveServer(folder=folder, settings={"access_log": False})
    yield server
    server.close()


@pytest.fixture
def bench(server: LiveServer) -> Bench:
    """Runs the command against the server, on a model made of these bytes."""

    def run(model: bytes, *options: str) -> Result:
        name = f"m-{uuid4()}"
        upload(server, model, name)
        where = ("--url", server.url, "--grpc", server.grpc_target)
        return CliRunner().invoke(app, ["bench", name, *where, *QUICK, *options])

    return run


def upload(server: LiveServer, model: bytes, name: str) -> None:
    answer = httpx.post(
        f"{server.url}/api/v1/models/upload",
        files={"file": ("model.onnx", model)},
        data={"name": name},
        timeout=60,
    )
    assert answer.is_success, answer.text


def refused(*command: str) -> str:
    """What the command says to a person when it can't measure."""
    done = CliRunner().invoke(app, ["bench", *command])
    assert done.exit_code == 1, done.output
    assert not done.stdout
    return done.stderr.strip()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        pytest.param(graphs.affine(), (), id="floats"),
        pytest.param(graphs.two_inputs(), (), id="floats-and-integers"),
        pytest.param(graphs.float16_double(), (), id="halves"),
        pytest.param(graphs.string_identity(), ("--text", 'a "ü"'), id="text"),
        pytest.param(graphs.int64_identity(), ("--batch", "7"), id="integers"),
    ],
)
def test_every_protocol_is_measured_without_an_error(
    bench: Bench, tmp_path: Path, model: bytes, options: tuple[str, ...]
) -> None:
    out = tmp_path / "results.json"
    done = bench(model, "--protocols", ALL, "--out", str(out), *options)
    assert done.exit_code == 0, done.output
    results = json.loads(out.read_text())["results"]
    assert [result["protocol"] for result in results] == ALL.split(",")
    for result in results:
        assert result["requests"] > 0
        assert result["errors"] == 0
        assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["max_ms"]


def test_made_inputs_never_come_from_the_cache(
    bench: Bench, server: LiveServer
) -> None:
    httpx.post(f"{server.url}/api/v1/cache/metrics/reset").raise_for_status()
    done = bench(graphs.affine(), "--protocols", ALL)
    assert done.exit_code == 0, done.output
    metrics = httpx.get(f"{server.url}/api/v1/cache/metrics").json()
    assert metrics["prediction_cache"]["hits"] == 0
    assert metrics["prediction_cache"]["misses"] > 0


def test_the_same_input_comes_from_the_cache_when_asked_for(
    bench: Bench, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    done = bench(
        graphs.affine(), "--cached", "--protocols", "v1-json", "--out", str(out)
    )
    assert done.exit_code == 0, done.output
    (result,) = json.loads(out.read_text())["results"]
    assert result["cached"] == result["requests"] > 0


def test_open_loops_send_at_the_rate_that_was_asked_for(
    bench: Bench, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    done = bench(
        graphs.affine(),
        *("--protocols", "v2-json", "--rate", "50", "--rates", "0.01"),
        *("--seconds", "1", "--out", str(out)),
    )
    assert done.exit_code == 0, done.output
    closed, given, share = json.loads(out.read_text())["results"]
    assert closed["rate"] is None
    assert given["rate"] == 50
    assert share["rate"] == pytest.approx(closed["per_second"] / 100)
    # Poisson's own spread is 7; what arrived is never more than a handful apart.
    assert 15 < given["requests"] < 100


def test_large_messages_pass_the_windows_of_http2(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = bench(
        graphs.affine(),
        *("--protocols", "grpc", "--batch", "100000", "--out", str(out)),
    )
    assert done.exit_code == 0, done.output
    (result,) = json.loads(out.read_text())["results"]
    assert result["requests"] > 0
    assert result["errors"] == 0


def test_several_processes_share_a_load(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = bench(
        graphs.affine(),
        *("--protocols", "v2-json", "--processes", "2", "--concurrency", "3"),
        *("--out", str(out)),
    )
    assert done.exit_code == 0, done.output
    (result,) = json.loads(out.read_text())["results"]
    assert result["concurrency"] == 3
    assert result["errors"] == 0


def test_the_results_name_machine_date_command_server_and_model(
    bench: Bench, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    bench(graphs.affine(), "--protocols", "v2-json", "--out", str(out))
    told = json.loads(out.read_text())
    assert {"cpu", "cores", "memory_gib", "python"} <= set(told["machine"])
    assert told["command"].split()[0] == "mlforge"
    assert told["server"].lower().startswith("mlforge")
    assert told["model"].endswith(":1.0.0")
    assert len(told["date"]) == 10


def test_the_plot_shows_each_protocol_inside_its_frame(
    bench: Bench, tmp_path: Path
) -> None:
    plot = tmp_path / "plot.svg"
    done = bench(
        graphs.affine(),
        *("--protocols", ALL, "--concurrency", "1,4", "--plot", str(plot)),
    )
    assert done.exit_code == 0, done.output
    root = ET.fromstring(plot.read_text())
    assert all(f"{protocol}, closed" in plot.read_text() for protocol in ALL.split(","))
    circles = root.findall("{*}circle")
    assert len(circles) == 2 * 2 * 4
    for circle in circles:
        assert 0 < float(circle.attrib["cx"]) < float(root.attrib["width"])
        assert 0 < float(circle.attrib["cy"]) < float(root.attrib["height"])


def test_inputs_that_soon_repeat_are_warned_of(bench: Bench) -> None:
    done = bench(
        graphs.int64_identity(),
        *("--protocols", "v2-json", "--batch", "1", "--seconds", "1"),
    )
    assert done.exit_code == 0, done.output
    assert "told apart only" in done.stderr


def test_a_server_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = refused("m", "--url", url)
    assert url in said
    assert "--url" in said


def test_a_model_that_is_not_there_is_named(server: LiveServer) -> None:
    said = refused("nobody", "--url", server.url)
    assert "'nobody'" in said
    assert "404" in said


def test_text_inputs_ask_for_a_sample(bench: Bench) -> None:
    done = bench(graphs.string_identity())
    assert done.exit_code == 1
    assert "--text" in done.stderr


def test_what_the_server_says_of_a_bad_input_is_passed_on(bench: Bench) -> None:
    done = bench(graphs.lookup(1), "--protocols", "v2-json", "--batch", "50")
    assert done.exit_code == 1
    assert "answered" in done.stderr


def test_a_grpc_port_where_nothing_listens_is_named(
    bench: Bench, server: LiveServer
) -> None:
    target = f"127.0.0.1:{free_port()}"
    done = bench(graphs.affine(), "--protocols", "grpc", "--grpc", target)
    assert done.exit_code == 1
    assert target in done.stderr
    assert "UNAVAILABLE" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(("--url", "https://127.0.0.1"), "plain http", id="tls"),
        pytest.param(("--url", "http://"), "names no host", id="no-host"),
        pytest.param(("--url", "http://h:99999"), "port", id="port"),
        pytest.param(("--protocols", "soap"), "v2-binary", id="protocol"),
        pytest.param(("--protocols", ""), "v2-binary", id="no-protocol"),
        pytest.param(("--concurrency", "x"), "--concurrency", id="no-number"),
        pytest.param(("--concurrency", "0"), "--concurrency", id="nobody"),
        pytest.param(("--concurrency", ""), "--concurrency", id="no-callers"),
        pytest.param(("--rates", "-1"), "--rates", id="rates"),
        pytest.param(("--header", "nonsense"), "--header", id="header"),
    ],
)
def test_an_option_that_can_not_be_meant_is_named(
    options: tuple[str, ...], words: str
) -> None:
    assert words in refused("m", *options)


def test_a_server_elsewhere_is_measured_with_a_warning() -> None:
    # Not the loopback interface, though nothing leaves this machine.
    url = f"http://0.0.0.0:{free_port()}"
    done = subprocess.run(
        [MLFORGE, "bench", "m", "--url", url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "not this machine" in done.stderr
    assert "Traceback" not in done.stderr
