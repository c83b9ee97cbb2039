"""Every real export, uploaded over HTTP, answers as ONNX Runtime itself does."""

import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from app.main import create_app
from tests.asgi import running
from tests.calls import API, predicted, upload
from tests.conftest import MakeSettings
from tests.exports import Export, load_exports

EXPORTS = load_exports()
Clients = AsyncIterator[httpx.AsyncClient]


@pytest.fixture
async def client(make_settings: MakeSettings, sqlite_dsn: str) -> Clients:
    async with running(create_app(make_settings(database_url=sqlite_dsn))) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://mlforge.test"
        ) as client:
            yield client


async def uploaded(client: httpx.AsyncClient, export: Export) -> dict[str, Any]:
    companions = {path.name: path.read_bytes() for path in export.companions}
    return await upload(
        client,
        export.path.read_bytes(),
        file_name=export.path.name,
        companions=companions,
    )


@pytest.mark.parametrize("export", EXPORTS, ids=str)
async def test_every_output_is_what_onnx_runtime_gives(
    client: httpx.AsyncClient, export: Export
) -> None:
    model = await uploaded(client, export)
    answer = await predicted(client, model["id"], {"input_data": export.input_data})
    for name, wanted in export.direct_run().items():
        assert same(answer["output_data"][name], wanted), name


@pytest.mark.parametrize("export", [e for e in EXPORTS if e.rows()], ids=str)
async def test_rows_by_name_give_the_same(
    client: httpx.AsyncClient, export: Export
) -> None:
    model = await uploaded(client, export)
    if export.feature_names:
        names = {"feature_names": list(export.feature_names)}
        path = f"{API}/models/{model['id']}/register"
        assert (await client.post(path, json=names)).status_code == 200
    rows = [dict(reversed(row.items())) for row in export.rows()]
    answer = await predicted(client, model["id"], {"rows": rows})
    for name, wanted in export.direct_run().items():
        assert same(answer["output_data"][name], wanted), name


@pytest.mark.parametrize("export", EXPORTS, ids=str)
async def test_validation_tells_what_the_model_is(
    client: httpx.AsyncClient, export: Export
) -> None:
    model = await uploaded(client, export)
    assert {s["name"] for s in model["input_schema"]} == set(export.inputs)
    assert [s["name"] for s in model["output_schema"]] == list(export.info.outputs)
    report = model["validation"]
    assert report["deterministic"] is True
    assert report["parameter_count"] >= 0
    assert report["opsets"]


def same(got: Any, wanted: Any) -> bool:
    """Bit by bit, once `got` is read at `wanted`'s own precision."""
    if isinstance(wanted, dict):
        return got.keys() == {str(key) for key in wanted} and all(
            _same_float32(got[str(key)], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    if wanted.dtype == object:
        return bool(got == wanted.tolist())
    read = np.array(got, dtype=wanted.dtype).reshape(wanted.shape)
    return bool(read.tobytes() == wanted.tobytes())


def _same_float32(got: Any, wanted: float) -> bool:
    number = np.float32(got)
    return bool(number == np.float32(wanted)) or math.isnan(number) == math.isnan(
        wanted
    )
