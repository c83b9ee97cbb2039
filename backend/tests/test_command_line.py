"""What `mlforge` says to a person whose settings or servers are not as they should be."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.conftest import StartServer
from tests.live import MLFORGE, environment
from tests.postgres_server import OwnPostgres, run_sql
from tests.processes import free_port

Run = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Run:
    """Runs a command that must end at once with a status; gives its one message."""

    def run(*command: str, status: int = 1, **settings: object) -> str:
        defaults = {"data_dir": tmp_path / "data", "port": free_port()}
        done = subprocess.run(
            [MLFORGE, *command],
            cwd=tmp_path,
            env=environment({**defaults, **settings}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        return done.stderr.strip()

    return run


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_database_that_is_not_there_is_named(
    refused: Run, postgres_dsn: str, command: str
) -> None:
    url = make_url(postgres_dsn).set(database="nowhere")
    dsn = url.render_as_string(hide_password=False)
    (line,) = refused(command, database_url=dsn).splitlines()
    assert f'{url.host}:{url.port} has no database "nowhere"' in line
    assert "createdb" in line


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_role_that_is_not_there_is_named(
    refused: Run, postgres_dsn: str, command: str
) -> None:
    url = make_url(postgres_dsn).set(username="nobody_at_all")
    dsn = url.render_as_string(hide_password=False)
    (line,) = refused(command, database_url=dsn).splitlines()
    assert 'role "nobody_at_all"' in line
    assert f"{url.host}:{url.port}" in line
    assert "DATABASE_URL" in line


def test_a_wrong_password_is_told_and_not_shown(
    refused: Run, private_postgres: OwnPostgres
) -> None:
    url = make_url(private_postgres.create_database())
    run_sql(url, "CREATE ROLE ana LOGIN PASSWORD 'right'")
    file = Path(run_sql(url, "SHOW hba_file"))
    file.write_text("host all ana all scram-sha-256\n" + file.read_text())
    run_sql(url, "SELECT pg_reload_conf()")
    wrong = url.set(username="ana", password="wr0ng")
    dsn = wrong.render_as_string(hide_password=False)
    (line,) = refused("migrate", database_url=dsn).splitlines()
    assert 'role "ana"' in line
    assert "password" in line
    assert "wr0ng" not in line


def test_a_server_that_is_not_there_is_named(refused: Run) -> None:
    port = free_port()
    dsn = f"postgresql+asyncpg://a:secret@127.0.0.1:{port}/b"
    (line,) = refused("migrate", database_url=dsn).splitlines()
    assert f"127.0.0.1:{port} can't be reached" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"redis_url": "foo"}, "REDIS_URL must begin with redis://"),
        ({"redis_url": "http://here"}, "REDIS_URL must begin with redis://"),
        ({"database_url": "mysql://here"}, "DATABASE_URL must begin with"),
        ({"database_url": "postgresql+asyncpg://a:b@h:x/d"}, "DATABASE_URL can't be"),
        ({"port": "x"}, "PORT"),
        ({"environment": "production"}, "SECRET_KEY"),
        ({"execution_providers": "gpu"}, 'EXECUTION_PROVIDERS: "gpu" is no'),
        ({"execution_providers": "cuda, cpu"}, "install onnxruntime-gpu in place of"),
    ],
)
def test_settings_that_can_not_be_used_are_named(
    refused: Run, settings: dict[str, object], words: str
) -> None:
    message = refused("serve", **settings)
    assert words in message
    assert "Value error" not in message


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_data_folder_that_can_not_be_made_is_named(
    refused: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "data"
    (line,) = refused(command, data_dir=folder).splitlines()
    assert f"DATA_DIR={folder} can't be made" in line


def test_a_port_in_use_is_named(refused: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (line,) = refused("serve", port=port).splitlines()
    assert f"PORT={port}" in line
    assert "HOST=127.0.0.1" in line


def test_a_port_in_use_is_named_once_for_all_workers(refused: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (line,) = refused("serve", "--workers", "3", port=port).splitlines()
    assert f"PORT={port}" in line


@pytest.mark.parametrize("workers", [1, 2])
def test_a_grpc_port_in_use_is_named(refused: Run, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (line,) = refused(
            "serve", workers=workers, grpc_port=port, status=3
        ).splitlines()
    assert f"gRPC can't listen on 127.0.0.1:{port}" in line
    assert "GRPC_PORT=0" in line


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "a..b"])
def test_a_host_that_is_not_ours_is_named(refused: Run, host: str) -> None:
    (line,) = refused("serve", host=host).splitlines()
    assert f"HOST={host}" in line


def test_a_server_for_all_says_so_and_warns(
    start_server: StartServer,
) -> None:
    server = start_server(host="0.0.0.0", auth="off")
    port = server.url.rpartition(":")[2]
    server.wait_for_log("needs no API key")
    assert f"MLForge listens on http://0.0.0.0:{port} " in server.logs()
    assert f"http://127.0.0.1:{port}/docs" in server.logs()


def test_a_server_for_this_machine_does_not_warn(start_server: StartServer) -> None:
    server = start_server()
    server.wait_for_log(f"MLForge listens on {server.url} ")
    assert "API key" not in server.logs()


def test_a_server_for_all_asks_for_keys_unless_told_otherwise(
    start_server: StartServer,
) -> None:
    server = start_server(host="0.0.0.0")
    server.wait_for_log("MLForge listens on")
    assert "WARNING" not in server.logs()
    assert httpx.get(f"{server.url}/api/v1/models").status_code == 401


def test_production_without_keys_or_with_unknown_scopes_is_refused(
    refused: Run,
) -> None:
    production = {"environment": "production", "secret_key": "x" * 40}
    words = refused("serve", auth="off", **production)
    assert "AUTH=on" in words
    words = refused("serve", anonymous_scopes="predict,admin", **production)
    assert "ANONYMOUS_SCOPES takes predict, read, write: no admin" in words
    assert "SECRET_KEY" in refused("serve", environment="production")


def test_a_mistyped_line_of_dotenv_is_told_with_what_it_may_mean(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "CACHE_TLL_S=60\nCOLOUR_OF_IT=red\nPOSTGRES_PASSWORD=x\nLOG_LEVEL=INFO\n"
    )
    server = start_server()
    server.wait_for_log("COLOUR_OF_IT")
    told = [line for line in server.logs().splitlines() if ".env sets" in line]
    assert len(told) == 2
    assert "CACHE_TLL_S, which is no setting; CACHE_TTL_S is the nearest" in told[0]
