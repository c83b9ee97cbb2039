"""`mlforge predict` against a real server and without one, as a person calls it."""

import csv
import io
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import orjson
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from tests import graphs
from tests.conftest import StartProcess, StartServer
from tests.live import MLFORGE, LiveServer, environment
from tests.processes import free_port, wait_until

Array = np.ndarray[Any, np.dtype[Any]]
ROWS = 2000
LINE = graphs.affine(feature_names=["a", "b", "c"])
NUMBERS = np.random.default_rng(7).normal(size=(ROWS, 3)).astype(np.float32)
CSV = b"a,b,c\n" + b"".join(f"{a},{b},{c}\n".encode() for a, b, c in NUMBERS.tolist())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One for all, with the model that the tests score with."""
    folder = tmp_path_factory.mktemp("predict")
    server = LiveServer(folder=folder, settings={"access_log": False})
    upload(server, "line", LINE)
    yield server
    server.close()


def upload(server: LiveServer, name: str, model: bytes) -> None:
    answer = httpx.post(
        f"{server.url}/api/v1/models/upload",
        files={"file": (f"{name}.onnx", model)},
        timeout=60,
    )
    assert answer.is_success, answer.text


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV)
    return path


def predict(*words: object, server: LiveServer, data: bytes | None = None) -> Result:
    command = ["predict", *map(str, words), "--server", server.url]
    return CliRunner().invoke(app, command, input=data)


def wanted() -> Array:
    """What ONNX Runtime gives for all rows at once."""
    session = ort.InferenceSession(LINE, providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {"x": NUMBERS})
    return np.asarray(values)


def predictions(text: str) -> Array:
    table = csv.DictReader(io.StringIO(text))
    return np.array([[row[f"y[{i}]"] for i in range(3)] for row in table], np.float32)


def test_a_file_is_scored_by_a_server(
    server: LiveServer, rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    done = predict("line", rows, "-o", out, server=server)
    assert done.exit_code == 0, done.output
    assert "with line:1.0.0" in done.stderr
    assert "2,000 rows scored" in done.stderr
    np.testing.assert_array_equal(predictions(out.read_text()), wanted())
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "out.csv"}


def test_the_ending_of_the_result_says_its_format(
    server: LiveServer, rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    done = predict(
        "line",
        rows,
        "-o",
        out,
        "--include-inputs",
        "a",
        "--outputs",
        "y",
        server=server,
    )
    assert done.exit_code == 0, done.output
    table = pq.read_table(out)
    assert table.column_names == ["a", "y", "error"]
    found = np.array(table["y"].to_pylist(), np.float32)
    np.testing.assert_array_equal(found, wanted())


def test_standard_input_and_output_hold_nothing_but_rows(
    server: LiveServer,
) -> None:
    done = predict("line", "-", "--format", "csv", server=server, data=CSV)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(predictions(done.stdout), wanted())


def test_the_same_bytes_come_without_a_server(
    server: LiveServer, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "line.onnx"
    model.write_bytes(LINE)
    remote, local = tmp_path / "remote.csv", tmp_path / "local.csv"
    rows.write_bytes(CSV.replace(b"a,b,c\n", b"a,b,c\nx,1,2\n"))
    assert predict("line", rows, "-o", remote, server=server).exit_code == 0
    monkeypatch.setattr(tempfile, "tempdir", str(scratch := tmp_path / "scratch"))
    scratch.mkdir()
    done = CliRunner().invoke(app, ["predict", str(model), str(rows), "-o", str(local)])
    assert done.exit_code == 0, done.output
    assert "2,000 rows scored, 1 failed" in done.stderr
    assert "line 2, column a" in done.stderr
    assert local.read_bytes() == remote.read_bytes()
    assert list(scratch.iterdir()) == []


def test_a_model_of_the_registry_scores_here_too(
    server: LiveServer, rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    for ref, status in (("absent", 3), ("line", 0)):
        done = subprocess.run(
            [MLFORGE, "predict", ref, rows, "-o", out, "--local"],
            env=environment({"data_dir": data_of(server)}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
    np.testing.assert_array_equal(predictions(out.read_text()), wanted())


def data_of(server: LiveServer) -> Path:
    return server.child.log.parent / "data"


def test_failed_rows_are_counted_and_the_first_told(
    server: LiveServer, rows: Path
) -> None:
    rows.write_bytes(b"a,b,c\n" + b"1,2,3\n4,x,6\n" * 10)
    done = predict("line", rows, server=server)
    assert done.exit_code == 0, done.output
    assert "10 rows scored, 10 failed" in done.stderr
    assert "line 3, column b" in done.stderr
    assert "and 5 more: http" in done.stderr
    strict = predict("line", rows, "--on-error", "fail", server=server)
    assert strict.exit_code == 1
    assert "failed" in strict.stderr
    assert strict.stdout == ""


def test_what_goes_wrong_is_told_by_the_exit_status(
    server: LiveServer, rows: Path, tmp_path: Path
) -> None:
    narrow = tmp_path / "narrow.csv"
    narrow.write_bytes(b"a,b\n1,2\n")
    cases: list[tuple[tuple[object, ...], int, str]] = [
        (("absent", rows), 3, "absent"),
        (("line", tmp_path / "absent.csv"), 3, "absent.csv"),
        ((tmp_path / "absent.onnx", rows), 3, "absent.onnx"),
        (("line", rows, "-o", tmp_path / "no" / "out.csv"), 3, "no folder"),
        (("line", rows, "-o", tmp_path / "out.xlsx"), 2, "--output-format"),
        (("line", "-"), 2, "--format"),
        (("line", rows, "--on-error", "ignore"), 2, "ignore"),
        (("line", rows, "--idempotency-key", "märz"), 2, "ASCII"),
        ((f"{tmp_path}/", rows), 3, "is a folder"),
        ((rows, rows), 6, "does not end with .onnx"),
        (("./line", rows), 3, "name:version"),
        (("line", narrow), 6, "c"),
        (("line", rows, "--outputs", "z"), 6, "z"),
        (("line", rows, "--format", "parquet"), 6, "parquet"),
    ]
    for words, status, told in cases:
        done = predict(*words, server=server)
        assert done.exit_code == status, (words, done.output)
        assert told in done.stderr
        assert "Traceback" not in done.output


def test_what_is_read_is_never_written_over(rows: Path, tmp_path: Path) -> None:
    model = tmp_path / "line.onnx"
    model.write_bytes(LINE)
    (tmp_path / "link.csv").symlink_to(rows)
    (tmp_path / "hard.csv").hardlink_to(rows)
    (tmp_path / "sub").mkdir()
    here = set(tmp_path.iterdir())
    for out in (rows, "link.csv", "hard.csv", "sub/../rows.csv", "line.onnx"):
        words = [str(model), str(rows), "-o", str(tmp_path / out)]
        done = CliRunner().invoke(app, ["predict", *words, "--output-format", "csv"])
        assert done.exit_code == 2, (out, done.output)
        assert "another name" in done.stderr
    assert rows.read_bytes() == CSV
    assert model.read_bytes() == LINE
    assert set(tmp_path.iterdir()) == here


def test_a_result_takes_its_place_whole_or_not_at_all(
    rows: Path, tmp_path: Path
) -> None:
    model, out, link = (
        tmp_path / name for name in ("line.onnx", "out.csv", "link.csv")
    )
    model.write_bytes(LINE)
    out.write_text("from before")
    link.symlink_to(out)
    words = [str(model), str(rows), "-o", str(link)]
    here = set(tmp_path.iterdir())
    rows.write_bytes(CSV + b"1,x,3\n")
    failed = CliRunner().invoke(app, ["predict", *words, "--on-error", "fail"])
    assert failed.exit_code == 1, failed.output
    assert out.read_text() == "from before"
    assert CliRunner().invoke(app, ["predict", *words]).exit_code == 0
    assert link.is_symlink()
    assert len(out.read_text().splitlines()) == ROWS + 2
    assert set(tmp_path.iterdir()) == here


def test_a_dry_run_tells_what_it_would_take(
    server: LiveServer, rows: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "line.onnx", tmp_path / "out.csv"
    model.write_bytes(LINE)
    before = jobs(server)
    for ref in ("line", model):
        done = predict(ref, rows, "-o", out, "--dry-run", server=server)
        assert done.exit_code == 0, done.output
        assert "rows, " in done.stderr
        first = orjson.loads(done.stdout.splitlines()[0])
        np.testing.assert_array_equal(np.float32(first["y"]), wanted()[0])
    assert jobs(server) == before
    assert not out.exists()


def test_the_same_key_gives_the_job_that_is_there(
    server: LiveServer, rows: Path, tmp_path: Path
) -> None:
    before = len(jobs(server))
    said = []
    for out in (tmp_path / "first.csv", tmp_path / "again.csv"):
        words = ("-o", out, "--idempotency-key", "of mine", "--chunk-rows", "700")
        done = predict("line", rows, *words, server=server)
        assert done.exit_code == 0, done.output
        np.testing.assert_array_equal(predictions(out.read_text()), wanted())
        said.append(done.stderr)
    assert said[0] == said[1]
    assert len(jobs(server)) == before + 1
    assert jobs(server)[0]["chunks"] == {"total": 3, "done": 3}
    refused = predict("line", rows, "--local", "--idempotency-key", "k", server=server)
    assert refused.exit_code == 2


def test_so_many_rows_may_fail(server: LiveServer, rows: Path, tmp_path: Path) -> None:
    model = tmp_path / "line.onnx"
    model.write_bytes(LINE)
    rows.write_bytes(b"a,b,c\n1,2,3\n4,x,6\n4,x,6\n")
    for ref in ("line", model):
        for most, status in ((0, 1), (1, 1), (2, 0)):
            done = predict(ref, rows, "--max-failed-rows", most, server=server)
            assert done.exit_code == status, (ref, most, done.output)


def test_a_folder_with_a_models_name_is_told_where_nobody_knows_it(
    server: LiveServer, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wines").mkdir()
    there = predict("wines", rows, server=server)
    words = ["wines", str(rows), "--server", f"http://127.0.0.1:{free_port()}"]
    nowhere = CliRunner().invoke(app, ["predict", *words])
    for done in (there, nowhere):
        assert done.exit_code == 3
        assert ". MODEL is the path" in done.stderr
        assert "wines is a folder" in done.stderr
    assert "does not answer" in nowhere.stderr


def test_a_result_that_can_not_be_written_stays_on_the_server(
    server: LiveServer, rows: Path
) -> None:
    words = ("-o", "/dev/full", "--output-format", "csv")
    done = predict("line", rows, *words, server=server)
    assert done.exit_code == 1, done.output
    assert "/dev/full can't be written" in done.stderr
    url = done.stderr.split()[-1]
    np.testing.assert_array_equal(predictions(httpx.get(url).text), wanted())


def test_a_server_that_is_not_there_is_named(rows: Path) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "nowhere"):
        done = CliRunner().invoke(app, ["predict", "line", str(rows), "--server", url])
        assert done.exit_code == (7 if url.startswith("http") else 2)
        assert url in done.stderr


def test_a_file_that_is_no_model_is_refused(rows: Path, tmp_path: Path) -> None:
    model = tmp_path / "line.onnx"
    model.write_bytes(b"no model")
    done = CliRunner().invoke(app, ["predict", str(model), str(rows)])
    assert done.exit_code == 6, done.output


def test_control_c_cancels_the_job_and_says_so(
    start_server: StartServer, redis_url: str, rows: Path, tmp_path: Path
) -> None:
    # With a Redis and no worker, a job waits for ever.
    server = start_server(redis_url=redis_url)
    upload(server, "line", LINE)
    out = tmp_path / "out.csv"
    with started("line", rows, "-o", out, server=server) as process:
        assert process.stderr is not None
        assert b"with line:1.0.0" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        said = process.stderr.read().decode()
    assert "is cancelled" in said
    assert "Traceback" not in said
    (job,) = jobs(server)
    assert job["status"] == "cancelled"
    assert job["id"] in said
    assert not out.exists()


def test_a_job_is_followed_through_a_restart_of_the_server(
    start_server: StartServer,
    start_process: StartProcess,
    redis_url: str,
    rows: Path,
    tmp_path: Path,
) -> None:
    first = start_server(redis_url=redis_url)
    upload(first, "line", LINE)
    out = tmp_path / "out.csv"
    with started("line", rows, "-o", out, server=first) as process:
        assert process.stderr is not None
        assert b"with line:1.0.0" in process.stderr.readline()
        first.kill()
        # On the same port, and now with a worker inside.
        port = first.url.rpartition(":")[2]
        start_process("serve", port=port, data_dir=data_of(first))
        assert process.wait(60) == 0
    np.testing.assert_array_equal(predictions(out.read_text()), wanted())


def test_control_c_while_sending_leaves_nothing(server: LiveServer) -> None:
    before, staging = len(jobs(server)), data_of(server) / "staging"
    assert not list(staging.iterdir())
    with started("line", "-", "--format", "csv", server=server) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(CSV * 10)
        process.stdin.flush()
        wait_until(
            lambda: staging.is_dir() and any(staging.iterdir()), "the upload's begin"
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        said = process.stderr.read().decode()
    assert "nothing was submitted" in said
    wait_until(lambda: not any(staging.iterdir()), "the end of the upload")
    assert len(jobs(server)) == before


@contextmanager
def started(*words: object, server: LiveServer) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process of its own, to interrupt."""
    with subprocess.Popen(
        [MLFORGE, "predict", *map(str, words), "--server", server.url],
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def jobs(server: LiveServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/api/v1/jobs").json()["items"]
    return found


def test_a_client_that_hangs_up_leaves_nothing(server: LiveServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    staging = data_of(server) / "staging"
    head = (
        "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    )
    before = len(jobs(server))
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(head.encode() + b"a,b\n" * 1000)
        wait_until(
            lambda: staging.is_dir() and any(staging.iterdir()), "the upload's begin"
        )
    wait_until(lambda: not any(staging.iterdir()), "the end of the upload")
    assert len(jobs(server)) == before
