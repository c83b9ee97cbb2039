import json
from pathlib import Path

import httpx
import pytest

from app import __version__
from app.config import Settings
from app.main import create_app
from app.migrations import migrate
from tests import graphs
from tests.asgi import running
from tests.calls import predicted, problem_of, upload
from tests.conftest import MakeSettings, StartServer
from tests.postgres_server import OwnPostgres


async def test_health_tells_of_each_part(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    for path in ("/health", "/api/v1/health"):
        body = (await client.get(path)).json()
        assert body["status"] == "healthy"
        assert body["version"] == __version__
        assert body["environment"] == "development"
        assert body["timestamp"].endswith("Z")
        assert body["database"] == "connected"
        shared = "connected" if settings.redis_url else "disabled"
        assert body["redis"] == shared
        assert body["queue"] == ("connected" if settings.redis_url else "embedded")


async def test_a_live_server_is_ready_until_it_stops(
    make_settings: MakeSettings, sqlite_dsn: str
) -> None:
    application = create_app(make_settings(database_url=sqlite_dsn))
    async with running(application) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://mlforge.test"
        ) as client:
            assert (await client.get("/api/v1/ready")).json() == {"ready": True}
            application.state.runtime.stop()
            answer = await client.get("/api/v1/ready")
            problem_of(answer, 503, "shutting_down")
            assert answer.headers["retry-after"]
            predict = await client.post("/api/v1/models/x/predict", json={})
            problem_of(predict, 503, "shutting_down")
            assert (await client.get("/api/v1/live")).json() == {"live": True}


async def test_an_unexpected_error_tells_an_id_and_nothing_else(
    make_settings: MakeSettings, sqlite_dsn: str
) -> None:
    application = create_app(make_settings(database_url=sqlite_dsn))

    async def broken() -> None:
        raise RuntimeError("the secret is 42")

    application.add_api_route("/broken", broken)
    async with running(application) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://mlforge.test"
        ) as client:
            answer = await client.get("/broken")
    problem_of(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


async def test_metrics_count_by_route_not_by_path(client: httpx.AsyncClient) -> None:
    await client.get("/api/v1/models/somebody")
    await client.get("/wp-login.php")
    text = (await client.get("/metrics")).text
    assert 'route="/api/v1/models/{ref}"' in text
    assert 'route="unmatched"' in text
    assert "somebody" not in text
    assert "wp-login" not in text


async def test_with_the_database_gone_loaded_models_still_predict(
    start_server: StartServer, private_postgres: OwnPostgres
) -> None:
    dsn = private_postgres.create_database()
    await migrate(dsn)
    server = start_server(database_url=dsn, database_timeout_s=1)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        await upload(client, graphs.add_one(), name="add")
        await predicted(client, "add", {"input_data": {"x": [1]}})
        private_postgres.kill()
        answer = await predicted(client, "add", {"input_data": {"x": [2]}})
        assert answer["output_data"] == {"y": [3.0]}
        health = (await client.get("/api/v1/health")).json()
        assert health["status"] == "degraded"
        assert health["database"] == "disconnected"
        listed = await client.get("/api/v1/models")
        problem_of(listed, 503, "database_unavailable")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_each_request_has_one_log_line(
    start_server: StartServer, log_format: str
) -> None:
    server = start_server(log_format=log_format)
    httpx.get(f"{server.url}/api/v1/models/nobody", headers={"x-request-id": "mine-7"})
    server.wait_for_log("mine-7")
    lines = [line for line in server.logs().splitlines() if "mine-7" in line]
    assert len(lines) == 1
    assert "/api/v1/models/nobody" in lines[0]
    assert "404" in lines[0]
    if log_format == "json":
        line = json.loads(lines[0])
        assert line["path"] == "/api/v1/models/nobody"
        assert line["took_ms"] > 0


def test_the_server_reads_dotenv_from_its_folder(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("ENVIRONMENT=production\nSECRET_KEY=" + "s" * 48)
    server = start_server()
    body = httpx.get(f"{server.url}/health").json()
    assert body["environment"] == "production"
