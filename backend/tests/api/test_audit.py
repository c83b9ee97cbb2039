"""Every change leaves one entry that says who made it, and no secret."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.enums import Scope
from app.services.audit_check import verify
from tests import graphs
from tests.calls import upload
from tests.conftest import MakeSettings
from tests.keys import Guarded, guarded, sent

AUDIT = "/api/v1/audit"
MODELS = "/api/v1/models"
LOAD = "/v2/repository/models/iris"
INPUT = {"x": [[31337.5, 2]]}


@pytest.fixture
async def served(
    make_settings: MakeSettings, sqlite_dsn: str
) -> AsyncIterator[Guarded]:
    async with guarded(make_settings(auth="on", database_url=sqlite_dsn)) as served:
        yield served


async def audit(served: Guarded, **filters: Any) -> list[dict[str, Any]]:
    """Oldest first."""
    params = {"page_size": 100, **filters}
    answer = await served.client.get(AUDIT, params=params, headers=sent(served.admin))
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items[::-1]


async def change_all(client: httpx.AsyncClient) -> list[str]:
    """Every change of models there is, and the actions that should be told."""

    async def call(method: str, path: str, **more: Any) -> Any:
        answer = await client.request(method, path, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None

    file = {"file": ("iris.onnx", graphs.affine(2.0, width=2))}
    await upload(client, graphs.affine(2.0, width=2), name="iris")
    await call("POST", MODELS, json={"name": "slow", "version": "1"})
    await call("POST", f"{MODELS}/slow:1/upload", files=file)
    await call("POST", f"{MODELS}/slow:1/validate")
    await call("POST", f"{MODELS}/iris/register", json={"secret": "31337.5"})
    patch = {"description": "31337.5", "is_default": True}
    await call("PATCH", f"{MODELS}/iris", json=patch)
    alias = f"{MODELS}/by-name/iris/aliases/canary"
    await call("PUT", alias, json={"version": "1.0.0"})
    await call("DELETE", alias)
    await call("DELETE", f"{MODELS}/iris/cache")
    await call("POST", f"{LOAD}/unload")
    await call("POST", f"{LOAD}/load")
    await call("POST", f"{LOAD}/load")  # Changes nothing, so it is not told.
    job = await call(
        "POST", "/api/v1/jobs", json={"model_id": "iris", "input_data": INPUT}
    )
    await call("GET", f"/api/v1/jobs/{job['id']}/result?wait=30")
    await call("DELETE", f"/api/v1/jobs/{job['id']}")
    await call("DELETE", f"{MODELS}/slow:1")
    return [
        *("model.upload", "model.create", "model.upload", "model.validate"),
        *("model.register", "model.patch", "model.default", "alias.set"),
        *("alias.delete", "cache.clear", "model.archive", "model.restore"),
        *("job.submit", "job.delete", "model.delete"),
    ]


async def test_every_change_leaves_one_entry(served: Guarded) -> None:
    made = await served.make(Scope.WRITE, Scope.PREDICT)
    served.client.headers.update(sent(made.token))
    actions = await change_all(served.client)
    mine = await audit(served, key=made.row.id)
    assert [entry["action"] for entry in mine] == actions
    upload, archive = mine[0], mine[10]
    assert upload["object"] == "iris:1.0.0"
    assert upload["digest"]
    assert upload["via"] == "POST /api/v1/models/upload"
    assert upload["peer"] == "127.0.0.1"
    assert archive["via"] == "POST /v2/repository/models/{name}/unload"
    assert [entry["result"] for entry in mine if entry["result"] != "ok"] == ["ready"]
    assert (await verify(served.runtime.audit)).fault is None
    text = json.dumps(await audit(served))
    for secret in (made.token[17:], served.admin[17:], "31337.5"):
        assert secret not in text


async def test_what_is_refused_or_only_read_leaves_none(served: Guarded) -> None:
    before = len(await audit(served))
    headers = sent(served.admin)
    for method, path, body in (
        ("DELETE", f"{MODELS}/nobody", None),
        ("PATCH", f"{MODELS}/nobody", {"description": "x"}),
        ("GET", MODELS, None),
        ("DELETE", "/api/v1/keys/nobody", None),
    ):
        await served.client.request(method, path, json=body, headers=headers)
    assert len(await audit(served)) == before


async def test_keys_are_told_of_with_their_request(served: Guarded) -> None:
    headers = {**sent(served.admin), "X-Request-ID": "mine-1"}
    post = served.client.post
    body = {"name": "n", "scopes": ["read"]}
    made = (await post("/api/v1/keys", json=body, headers=headers)).json()
    path = f"/api/v1/keys/{made['id']}"
    rotated = (await post(f"{path}/rotate", headers=headers)).json()
    await served.client.delete(f"/api/v1/keys/{rotated['id']}", headers=headers)
    first, *entries = await audit(served, action="key")
    assert (first["actor"], first["detail"]["name"]) == ("server", "first start")
    told = [(entry["action"], entry["object"]) for entry in entries]
    assert told == [
        ("key.create", made["id"]),
        ("key.rotate", made["id"]),
        ("key.revoke", rotated["id"]),
    ]
    assert {entry["request_id"] for entry in entries} == {"mine-1"}
    assert {entry["actor"] for entry in entries} == {served.admin[4:16]}
    assert entries[1]["detail"]["to"] == rotated["id"]


async def test_filters_pages_and_the_export_agree(served: Guarded) -> None:
    served.client.headers.update(sent(served.admin))
    await change_all(served.client)
    everything = await audit(served)
    of_model = await audit(served, object="iris")
    assert {entry["object"] for entry in of_model} == {"iris:1.0.0", "iris@canary"}
    assert await audit(served, action="alias") == [
        entry for entry in everything if entry["action"].startswith("alias.")
    ]
    middle = everything[5]["at"]
    assert await audit(served, until=middle) == everything[:5]
    assert await audit(served, since=middle) == everything[5:]
    assert await audit(served, page=2, page_size=3) == everything[-6:-3]
    export = await served.client.get(f"{AUDIT}/export")
    assert export.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in export.text.splitlines()] == everything
    for wrong in ({"since": "2026-01-01T00:00:00"}, {"action": "%"}, {"object": "\0"}):
        answer = await served.client.get(AUDIT, params=wrong)
        assert answer.status_code == 422, wrong
