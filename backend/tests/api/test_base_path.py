"""Behind a proxy that shows the server under a folder, stripping it or not."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.main import create_app
from tests import graphs
from tests.asgi import running
from tests.calls import predicted, upload
from tests.conftest import MakeSettings

LINE = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]
}


@pytest.fixture
async def client(
    make_settings: MakeSettings, sqlite_dsn: str
) -> AsyncIterator[httpx.AsyncClient]:
    settings = make_settings(database_url=sqlite_dsn, base_path="/ml/a")
    async with running(create_app(settings)) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://mlforge.test"
        ) as client:
            yield client


async def test_calls_work_with_the_folder_and_without(
    client: httpx.AsyncClient,
) -> None:
    await upload(client, graphs.affine(), name="line")
    body = {"input_data": {"x": [[1, 2, 3]]}}
    stripped = await predicted(client, "line", body)
    kept = await client.post("/ml/a/api/v1/models/line/predict", json=body)
    assert kept.json()["output_data"] == stripped["output_data"]
    for path in ("/v2/models/line/infer", "/ml/a/v2/models/line/infer"):
        answer = await client.post(path, json=LINE)
        assert answer.json()["outputs"][0]["data"] == [3.0, 5.0, 7.0]
    missing = await client.get("/ml/a/v2/models/nobody")
    assert missing.status_code == 404
    assert "error" in missing.json()


async def test_pages_link_into_the_folder(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/ml/a/docs"):
        page = (await client.get(path)).text
        assert "/ml/a/openapi.json" in page
        assert "/ml/a/docs-assets/swagger-ui-bundle.js" in page
