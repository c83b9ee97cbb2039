"""Every route asks for its scope, whatever else it is asked; the list is the app's own."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from app.api.access import (
    DeclaredRoute,
    UndeclaredRoute,
    check_declared,
    declared_routes,
)
from app.auth.gate import Access
from app.auth.principal import with_implied
from app.auth.tokens import new_token
from app.enums import Scope
from app.main import create_app
from tests import graphs
from tests.calls import problem_of, upload
from tests.conftest import MakeSettings
from tests.crud.test_versions import counted_statements
from tests.keys import Guarded, guarded, sent

# They say whether the server is there, and nothing of what it serves.
OPEN = {
    "/",
    "/health",
    "/api/v1/health",
    "/api/v1/ready",
    "/api/v1/live",
    "/v2/health/live",
    "/v2/health/ready",
}
NOBODY = "0f9b6d5e-3f0d-4c39-9d0c-1f2f6f0e8a77"
SCOPES = list(Scope)


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    access: Access

    def url(self, **values: str) -> str:
        fill = {"job_id": NOBODY, "key_id": "nobody", "alias": "a", "version": "1"}
        fill |= {"ref": "nobody", "name": "nobody"} | values
        return re.sub(r"{(\w+)}", lambda found: fill[found[1]], self.path)


@pytest.fixture
async def served(
    make_settings: MakeSettings, sqlite_dsn: str
) -> AsyncIterator[Guarded]:
    async with guarded(make_settings(auth="on", database_url=sqlite_dsn)) as served:
        yield served


def calls_of(app: FastAPI) -> Iterator[Call]:
    for route in declared_routes(app):
        for method in sorted(route.methods or ()):
            yield Call(method, route.path, route.access)


async def ask(served: Guarded, call: Call, **headers: str) -> httpx.Response:
    return await served.client.request(call.method, call.url(), headers=headers)


async def test_only_these_routes_are_open(served: Guarded) -> None:
    calls = list(calls_of(served.app))
    assert len(calls) > 60
    assert {call.path for call in calls if not call.access.scopes} == OPEN
    for page in ("/docs", "/redoc", "/openapi.json", *OPEN):
        answer = await served.client.get(page)
        assert answer.status_code in {200, 307}, page


async def test_without_a_key_every_other_route_answers_401(served: Guarded) -> None:
    for call in calls_of(served.app):
        if not call.access.scopes:
            continue
        answer = await ask(served, call)
        assert answer.status_code == 401, call
        assert answer.headers["www-authenticate"] == "Bearer"
        if call.method != "HEAD":
            body = answer.json()
            assert body["code"] == "unauthorized", call
            assert ("error" in body) == call.path.startswith("/v2"), call


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_scope_opens_its_routes_and_no_others(
    served: Guarded, scope: Scope
) -> None:
    headers = await served.headers(scope)
    held = with_implied([scope])
    for call in calls_of(served.app):
        if not call.access.scopes:
            continue
        answer = await ask(served, call, **headers)
        if held.isdisjoint(call.access.scopes):
            assert answer.status_code == 403, call
            if call.method != "HEAD":
                assert str(call.access) in answer.text.replace('\\"', '"'), call
        else:
            assert answer.status_code not in {401, 403}, (call, answer.text)


async def test_a_key_for_other_models_sees_none_by_any_route(served: Guarded) -> None:
    admin = sent(served.admin)
    model = await upload_as(served, admin, "mine")
    headers = await served.headers(Scope.PREDICT, Scope.WRITE, pattern="theirs*")
    refs = ("mine", "mine:1.0.0", "mine@production", model["id"], model["id"].upper())
    for call in calls_of(served.app):
        for name in ("ref", "name"):
            if f"{{{name}}}" not in call.path or not call.access.scopes:
                continue
            for ref in refs:
                url = call.url(**{name: ref})
                answer = await served.client.request(call.method, url, headers=headers)
                assert answer.status_code == 404, (call, ref, answer.text)


async def test_foreign_and_missing_models_are_told_alike(served: Guarded) -> None:
    admin = sent(served.admin)
    model = await upload_as(served, admin, "mine")
    headers = await served.headers(Scope.READ, pattern="theirs*")
    get = served.client.get
    for foreign, missing in (("mine", "none"), (model["id"], NOBODY)):
        seen = await get(f"/api/v1/models/{foreign}", headers=headers)
        unseen = await get(f"/api/v1/models/{missing}", headers=headers)
        really = await get(f"/api/v1/models/{missing}", headers=admin)
        details = {
            answer.json()["detail"].replace(foreign, "X").replace(missing, "X")
            for answer in (seen, unseen, really)
        }
        assert len(details) == 1, details


async def test_lists_show_what_the_pattern_matches(served: Guarded) -> None:
    admin = sent(served.admin)
    for name in ("team-a.one", "team-a.two", "team-b.one"):
        await upload_as(served, admin, name)
    headers = await served.headers(Scope.PREDICT, Scope.READ, pattern="team-a.*")
    get = served.client.get
    listed = (await get("/api/v1/models", headers=headers)).json()
    assert listed["total"] == 2
    assert {item["name"] for item in listed["items"]} == {"team-a.one", "team-a.two"}
    names = (await get("/v2/models", headers=headers)).json()["models"]
    assert names == ["team-a.one", "team-a.two"]
    stats = (await get("/v2/models/stats", headers=headers)).json()["model_stats"]
    assert {one["name"] for one in stats} == set(names)
    index = await served.client.post("/v2/repository/index", headers=headers)
    assert {one["name"] for one in index.json()} == set(names)
    for path in ("/metrics", "/api/v1/cache/metrics"):
        assert (await get(path, headers=headers)).status_code == 403, path


async def test_jobs_of_foreign_models_are_not_there(served: Guarded) -> None:
    admin = sent(served.admin)
    await upload_as(served, admin, "mine")
    body = {"model_id": "mine", "input_data": {"x": [[1, 2]]}}
    post, get = served.client.post, served.client.get
    job = (await post("/api/v1/jobs", json=body, headers=admin)).json()
    headers = await served.headers(Scope.PREDICT, pattern="theirs*")
    assert (await get("/api/v1/jobs", headers=headers)).json()["total"] == 0
    assert (await get("/api/v1/jobs", headers=admin)).json()["total"] == 1
    for call in calls_of(served.app):
        if "{job_id}" in call.path:
            url = call.url(job_id=job["id"])
            answer = await served.client.request(call.method, url, headers=headers)
            assert answer.status_code == 404, call
    assert (await post("/api/v1/jobs", json=body, headers=headers)).status_code == 404
    await served.client.patch(
        "/api/v1/models/mine", json={"status": "archived"}, headers=admin
    )
    file = {"file": ("rows.csv", b"a,b\n1,2\n")}
    for name in ("mine", "none"):
        answers = [
            await post("/api/v1/jobs", data=form, files=file, headers=headers)
            for form in ({"model_id": name}, {"model_id": name, "dry_run": "true"})
        ]
        for answer in answers:
            detail = problem_of(answer, 404, "model_not_found")
            assert detail.startswith(f'no model is named "{name}"')


async def test_a_key_makes_only_models_that_it_sees(served: Guarded) -> None:
    headers = await served.headers(Scope.WRITE, pattern="mine*")
    made = await served.client.post(
        "/api/v1/models", json={"name": "theirs"}, headers=headers
    )
    assert made.status_code == 403
    assert "mine*" in made.json()["detail"]
    files = {"file": ("theirs.onnx", graphs.affine(2.0, width=2))}
    one_shot = await served.client.post(
        "/api/v1/models/upload", files=files, headers=headers
    )
    assert one_shot.status_code == 403
    model = await upload_as(served, headers, "mine-too")
    url = f"/api/v1/models/{model['id']}"
    default = await served.client.patch(url, json={"is_default": True}, headers=headers)
    assert default.status_code == 403
    assert (await served.client.delete(url, headers=headers)).status_code == 204


async def test_scores_keep_to_the_pattern_of_the_key(served: Guarded) -> None:
    await upload_as(served, sent(served.admin), "mine")
    body = {"features": {"a": 1, "b": 2}}
    theirs = await served.headers(Scope.PREDICT, pattern="theirs*")
    refused = await served.client.post("/api/v1/score", json=body, headers=theirs)
    assert refused.status_code == 409
    assert "mine" not in refused.text
    own = await served.headers(Scope.PREDICT, pattern="mi?e")
    scored = await served.client.post("/api/v1/score", json=body, headers=own)
    assert scored.status_code == 200, scored.text


async def test_callers_without_a_key_may_do_what_is_set(
    make_settings: MakeSettings, sqlite_dsn: str
) -> None:
    settings = make_settings(
        auth="on", database_url=sqlite_dsn, anonymous_scopes="predict,write"
    )
    async with guarded(settings) as served:
        await upload_as(served, {}, "line")
        body = {"input_data": {"x": [[1, 2]]}}
        url = "/api/v1/models/line/predict"
        assert (await served.client.post(url, json=body)).status_code == 200
        assert (await served.client.get("/metrics")).status_code == 200
        keys = await served.client.get("/api/v1/keys")
        assert keys.status_code == 401
        wrong = await served.client.post(url, json=body, headers=sent("mlf_wrong"))
        assert wrong.status_code == 401


async def test_a_key_in_an_address_is_refused_though_it_is_right(
    served: Guarded,
) -> None:
    encoded = served.admin.replace("_", "%5F")
    for url in (
        f"/api/v1/models?api_key={served.admin}",
        f"/v2/models?k={served.admin}",
        f"/api/v1/models?api_key={encoded}",
        f"/api/v1/models/{served.admin}",
    ):
        answer = await served.client.get(url, headers=sent(served.admin))
        assert answer.status_code == 401
        assert "The address holds an API key" in answer.text
        assert served.admin[20:60] not in answer.text


async def test_unknown_keys_never_reach_the_database(served: Guarded) -> None:
    with counted_statements() as seen:
        await _guess_keys(served, seen)


async def _guess_keys(served: Guarded, seen: list[str]) -> None:
    # The look that sees the first key loads all keys, once.
    await served.runtime.traffic.catch_up()
    await served.client.get("/api/v1/models", headers=sent(served.admin))
    assert any("FROM versions" in one for one in seen)  # The listener hears.
    seen.clear()
    told: Counter[int] = Counter()
    for _ in range(4):
        answers = await asyncio.gather(
            *(
                served.client.get("/api/v1/models", headers=sent(new_token().token))
                for _ in range(250)
            )
        )
        told.update(answer.status_code for answer in answers)
    # Ten in a minute, and those that a slow run gives time for.
    assert set(told) == {401, 429}
    assert told[401] < 20
    tables = ("api_keys", "versions", "models")
    assert not [one for one in seen if any(table in one for table in tables)]


def test_a_route_that_says_nothing_does_not_start() -> None:
    router = APIRouter(route_class=DeclaredRoute)
    with pytest.raises(UndeclaredRoute, match="/secret"):

        @router.get("/secret")
        async def secret() -> str:
            return ""


def test_a_route_of_another_kind_does_not_start(make_settings: MakeSettings) -> None:
    app = create_app(make_settings())
    router = APIRouter()

    @router.get("/secret")
    async def secret() -> str:
        return ""

    app.include_router(router)
    with pytest.raises(UndeclaredRoute, match="/secret"):
        check_declared(app)


async def test_the_document_tells_the_scope_of_every_call(served: Guarded) -> None:
    document = served.app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    for call in calls_of(served.app):
        operation = document["paths"].get(call.path, {}).get(call.method.lower())
        if operation is None:
            continue
        wanted = [
            {scheme: [scope.value]}
            for scope in call.access.scopes
            for scheme in ("bearer", "apiKey")
        ]
        assert operation["security"] == wanted, call
        assert ({"401", "403"} <= set(operation["responses"])) == bool(wanted), call


async def upload_as(
    served: Guarded, headers: dict[str, str], name: str
) -> dict[str, str]:
    client = served.client
    client.headers.update(headers)
    try:
        metadata = '{"feature_names": ["a", "b"]}'
        model = graphs.affine(2.0, width=2)
        return await upload(client, model, name=name, metadata=metadata)
    finally:
        for header in headers:
            del client.headers[header]
