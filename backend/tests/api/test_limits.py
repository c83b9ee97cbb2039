"""Rates and quotas of keys as callers meet them, and callers who guess keys."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.auth.tokens import new_token
from app.enums import Scope
from app.main import create_app
from app.observability.logging import configure_logging
from tests import graphs
from tests.asgi import running
from tests.calls import problem_of, upload
from tests.conftest import MakeSettings
from tests.keys import URL, Guarded, guarded, sent

KEYS = "/api/v1/keys"
MODELS = "/api/v1/models"
JOBS = "/api/v1/jobs"
SELDOM = 0.01


@pytest.fixture
async def served(
    make_settings: MakeSettings, sqlite_dsn: str
) -> AsyncIterator[Guarded]:
    settings = make_settings(auth="on", database_url=sqlite_dsn, key_models=2)
    async with guarded(settings) as served:
        yield served


async def key(served: Guarded, *scopes: Scope, **limits: Any) -> dict[str, Any]:
    body = {"name": "test", "scopes": scopes, **limits}
    answer = await served.client.post(KEYS, json=body, headers=sent(served.admin))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def patch(served: Guarded, key_id: str, **limits: Any) -> httpx.Response:
    path, headers = f"{KEYS}/{key_id}", sent(served.admin)
    return await served.client.patch(path, json=limits, headers=headers)


async def test_a_key_has_its_rate_and_its_successor_shares_it(served: Guarded) -> None:
    made = await key(served, Scope.READ, requests_per_s=SELDOM, burst=3)
    path = f"{KEYS}/{made['id']}/rotate"
    rotated = (await served.client.post(path, headers=sent(served.admin))).json()
    assert (rotated["requests_per_s"], rotated["burst"]) == (SELDOM, 3)
    get, headers = served.client.get, sent(made["key"])
    for token in (made["key"], rotated["key"], made["key"]):
        assert (await get(MODELS, headers=sent(token))).status_code == 200
    # A change of the registry has every key looked at anew, but not their buckets.
    await served.client.post(MODELS, json={"name": "x"}, headers=sent(served.admin))
    for token in (made["key"], rotated["key"]):
        answer = await get(MODELS, headers=sent(token))
        assert (
            made["id"] in problem_of(answer, 429, "rate_limited")
            or token != made["key"]
        )
        assert 90 < int(answer.headers["retry-after"]) <= 100
    oip = await served.client.get("/v2/models", headers=headers)
    assert (oip.status_code, oip.json()["code"]) == (429, "rate_limited")
    assert (await get("/health", headers=headers)).status_code == 200
    assert (await get(MODELS, headers=sent(served.admin))).status_code == 200
    metrics = (await get("/metrics", headers=sent(served.admin))).text
    assert 'mlforge_rate_limited_total{limit="requests"} 3.0' in metrics


async def test_limits_are_set_left_and_given_back(served: Guarded) -> None:
    made = await key(served, Scope.READ, requests_per_s=SELDOM, burst=1)
    get, headers = served.client.get, sent(made["key"])
    assert (await get(MODELS, headers=headers)).status_code == 200
    assert (await get(MODELS, headers=headers)).status_code == 429
    changed = await patch(served, made["id"], requests_per_s=0, stored_mb=7)
    assert changed.json()["stored_mb"] == 7
    assert changed.json()["burst"] == 1
    assert (await get(MODELS, headers=headers)).status_code == 200
    assert (await patch(served, made["id"], stored_mb=None)).json()["stored_mb"] is None
    for wrong in ({"models": -1}, {"models": 1.5}, {"scopes": ["admin"]}):
        answer = await patch(served, made["id"], **wrong)
        assert answer.status_code == 422, answer.text
    await served.client.delete(f"{KEYS}/{made['id']}", headers=sent(served.admin))
    answer = await patch(served, made["id"], models=1)
    problem_of(answer, 409, "state_forbids")


async def test_quotas_of_the_server_hold_unless_a_key_has_its_own(
    served: Guarded,
) -> None:
    made = await key(served, Scope.WRITE, Scope.PREDICT, concurrent_jobs=1)
    client = served.client
    client.headers.update(sent(made["key"]))
    await upload(client, graphs.affine(2.0, width=2), name="one")
    assert (await client.post(MODELS, json={"name": "two"})).status_code == 201
    answer = await client.post(MODELS, json={"name": "three"})
    assert "models" in problem_of(answer, 429, "quota_exceeded")
    assert int(answer.headers["retry-after"]) > 0
    # The same file again is no new version.
    await upload(client, graphs.affine(2.0, width=2), name="one")
    files = {"file": ("x.onnx", graphs.affine(3.0, width=2))}
    answer = await client.post(f"{MODELS}/upload", files=files)
    problem_of(answer, 429, "quota_exceeded")
    # A rotation is no way to a new quota.
    path = f"{KEYS}/{made['id']}/rotate"
    rotated = (await client.post(path, headers=sent(served.admin))).json()
    answer = await client.post(
        MODELS, json={"name": "three"}, headers=sent(rotated["key"])
    )
    problem_of(answer, 429, "quota_exceeded")
    await patch(served, rotated["id"], models=0)
    answer = await client.post(
        MODELS, json={"name": "three"}, headers=sent(rotated["key"])
    )
    assert answer.status_code == 201


async def test_file_jobs_count_and_what_is_refused_is_not_kept(
    served: Guarded,
) -> None:
    await upload_as_admin(served)
    made = await key(served, Scope.PREDICT, stored_mb=1)
    headers = sent(made["key"])
    rows = b"x\n" + b"1\n" * 300_000
    for status in (201, 429):
        answer = await served.client.post(
            JOBS,
            data={"model_id": "one"},
            files={"file": ("rows.csv", rows)},
            headers=headers,
        )
        assert answer.status_code == status, answer.text
    folder = served.runtime.settings.data_dir / "jobs"
    assert len([one for one in folder.iterdir() if one.name != "store"]) == 1


async def upload_as_admin(served: Guarded) -> None:
    files = {"file": ("one.onnx", graphs.affine(2.0, width=1))}
    headers = sent(served.admin)
    body = {"feature_names": ["x"]}
    await served.client.post(f"{MODELS}/upload", files=files, headers=headers)
    answer = await served.client.post(
        f"{MODELS}/one/register", json=body, headers=headers
    )
    assert answer.status_code == 200, answer.text


async def test_who_guesses_keys_is_slowed_down_and_others_are_not(
    served: Guarded,
) -> None:
    get = served.client.get
    for _ in range(20):  # A key that is missing is no guess.
        assert (await get(MODELS)).status_code == 401
    for _ in range(10):
        assert (await get(MODELS, headers=sent("mlf_wrong"))).status_code == 401
    expected = None
    for token in ("mlf_wrong", new_token().token, "", f"{served.admin}x"):
        answer = await get(MODELS, headers=sent(token))
        detail = problem_of(answer, 429, "rate_limited")
        assert expected in (None, detail)
        expected = detail
        assert 0 < int(answer.headers["retry-after"]) <= 6
    assert (await get(MODELS, headers=sent(served.admin))).status_code == 200
    elsewhere = httpx.ASGITransport(app=served.served, client=("2001:db8::1", 1))
    async with httpx.AsyncClient(
        transport=elsewhere, base_url="http://mlforge.test"
    ) as other:
        answer = await other.get(MODELS, headers=sent("mlf_wrong"))
        assert answer.status_code == 401
    metrics = (await get("/metrics", headers=sent(served.admin))).text
    assert 'mlforge_auth_failures_total{reason="malformed"} 11.0' in metrics
    assert 'mlforge_auth_failures_total{reason="missing"} 20.0' in metrics
    assert 'mlforge_auth_failures_total{reason="too_many"} 4.0' in metrics


async def test_wrong_keys_are_told_to_the_audit_log_but_not_all(
    make_settings: MakeSettings, sqlite_dsn: str
) -> None:
    settings = make_settings(
        auth="on", database_url=sqlite_dsn, auth_failures_per_minute=0
    )
    async with guarded(settings) as served:
        unknown = new_token()
        headers = sent(unknown.token) | {"X-Request-ID": "guess"}
        assert (await served.client.get(MODELS, headers=headers)).status_code == 401
        for _ in range(100):
            await served.client.get(MODELS, headers=sent("mlf_wrong"))
        await served.runtime.identity.write_failures()
        listed = await served.client.get(
            "/api/v1/audit?action=auth&page_size=100", headers=sent(served.admin)
        )
        entries = listed.json()["items"][::-1]
        assert len(entries) == 20
        assert (entries[0]["object"], entries[0]["result"]) == (unknown.id, "unknown")
        assert entries[0]["request_id"] == "guess"
        assert entries[0]["peer"] == "127.0.0.1"
        assert unknown.token[17:] not in listed.text


async def test_keys_made_without_authentication_are_named_when_it_is_on(
    make_settings: MakeSettings, sqlite_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    open_to_all = make_settings(auth="off", database_url=sqlite_dsn)
    body = {"name": "whoever", "scopes": ["admin"]}
    async with running(create_app(open_to_all)) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            kept, gone, old = [
                (await client.post(KEYS, json=body)).json()["id"] for _ in range(3)
            ]
            await client.delete(f"{KEYS}/{gone}")
            await client.post(f"{KEYS}/{old}/rotate", json={"overlap_hours": 0})
    configure_logging("INFO", "json")
    on = make_settings(auth="on", database_url=sqlite_dsn)
    async with running(create_app(on)):
        pass
    lines = capsys.readouterr().err.splitlines()
    (told,) = [one for one in lines if "keys_of_everybody" in one]
    assert kept in told
    assert gone not in told
    assert old not in told
    assert '"total":2' in told
