"""Keys over HTTP: made, shown once, listed, rotated, revoked."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.auth.tokens import digest_of
from app.database import Database
from app.enums import Scope
from app.errors import DatabaseUnavailable
from app.models.base import utc_now
from app.services.api_keys import ApiKeys, NewKey
from tests.calls import problem_of
from tests.conftest import MakeSettings
from tests.keys import Guarded, guarded, sent

KEYS = "/api/v1/keys"
MODELS = "/api/v1/models"


@pytest.fixture
async def served(
    make_settings: MakeSettings, sqlite_dsn: str
) -> AsyncIterator[Guarded]:
    async with guarded(make_settings(auth="on", database_url=sqlite_dsn)) as served:
        served.client.headers["X-API-Key"] = served.admin
        yield served


async def make(served: Guarded, **fields: Any) -> dict[str, Any]:
    body = {"name": "nightly", "scopes": ["read"], **fields}
    answer = await served.client.post(KEYS, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{KEYS}/{made['id']}"
    return made


async def status_with(served: Guarded, key: str) -> int:
    return (await served.client.get(MODELS, headers=sent(key))).status_code


async def test_a_key_is_shown_once_and_works_at_once(served: Guarded) -> None:
    made = await make(served, model_pattern="wine*", expires_in_days=30)
    assert await status_with(served, made["key"]) == 200
    one = (await served.client.get(f"{KEYS}/{made['id']}")).json()
    listed = (await served.client.get(KEYS)).json()
    assert listed["total"] == 2
    assert listed["items"][0] == one == {k: v for k, v in made.items() if k != "key"}
    assert one["status"] == "active"
    assert one["scopes"] == ["read"]
    lives = datetime.fromisoformat(one["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < lives <= timedelta(days=30)
    row = await served.runtime.identity.keys.get(made["id"])
    assert row.sha256 not in str(listed)
    assert made["key"][17:60] not in str(listed) + row.sha256


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"model_pattern": "a/b"}, "model_pattern"),
        ({"model_pattern": "*" * 5}, "model_pattern"),
        ({"scopes": ["admin"], "model_pattern": "a*"}, "model_pattern"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 99999}, "expires_in_days"),
        ({"expires_in_days": True}, "expires_in_days"),
        ({"expires_in_days": 1e-300}, "expires_in_days"),
        ({"secret": "x"}, "secret"),
    ],
)
async def test_what_no_key_can_have_is_refused(
    served: Guarded, fields: dict[str, Any], named: str
) -> None:
    body = {"name": "nightly", "scopes": ["read"], **fields}
    answer = await served.client.post(KEYS, json=body)
    assert named in problem_of(answer, 422, "invalid_field")


async def test_a_revoked_key_is_refused_at_once_and_may_be_revoked_again(
    served: Guarded,
) -> None:
    made = await make(served)
    for _ in range(2):
        answer = await served.client.delete(f"{KEYS}/{made['id']}")
        assert answer.status_code == 204
    assert await status_with(served, made["key"]) == 401
    one = (await served.client.get(f"{KEYS}/{made['id']}")).json()
    assert one["status"] == "revoked"
    assert one["revoked_at"] is not None


async def test_an_expired_key_is_told_so(served: Guarded) -> None:
    made = await served.make(Scope.READ, lifetime=timedelta(seconds=-1))
    answer = await served.client.get(MODELS, headers=sent(made.token))
    assert "expired" in problem_of(answer, 401, "unauthorized")
    one = (await served.client.get(f"{KEYS}/{made.row.id}")).json()
    assert one["status"] == "expired"


async def test_a_rotated_key_and_its_successor_work_side_by_side(
    served: Guarded,
) -> None:
    old = await make(served, model_pattern="wine*", expires_in_days=30)
    answer = await served.client.post(f"{KEYS}/{old['id']}/rotate")
    assert answer.status_code == 201, answer.text
    new = answer.json()
    for key in (old["key"], new["key"]):
        assert await status_with(served, key) == 200
    for same in ("name", "scopes", "model_pattern"):
        assert new[same] == old[same]
    lives = datetime.fromisoformat(new["expires_at"]) - utc_now()
    assert timedelta(days=29) < lives <= timedelta(days=30)
    ended = (await served.client.get(f"{KEYS}/{old['id']}")).json()
    assert ended["successor"] == new["id"]
    left = datetime.fromisoformat(ended["expires_at"]) - utc_now()
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    again = await served.client.post(f"{KEYS}/{old['id']}/rotate", json={})
    assert new["id"] in problem_of(again, 409, "state_forbids")


async def test_without_an_overlap_the_old_key_ends_at_once(served: Guarded) -> None:
    old = await make(served)
    url = f"{KEYS}/{old['id']}/rotate"
    new = (await served.client.post(url, json={"overlap_hours": 0})).json()
    assert await status_with(served, old["key"]) == 401
    assert await status_with(served, new["key"]) == 200


async def test_an_overlap_never_makes_a_key_live_longer(served: Guarded) -> None:
    old = await make(served, expires_in_days=0.01)
    await served.client.post(f"{KEYS}/{old['id']}/rotate", json={})
    ended = (await served.client.get(f"{KEYS}/{old['id']}")).json()
    assert ended["expires_at"] == old["expires_at"]


async def test_the_last_admin_key_is_not_revoked_unless_forced(
    served: Guarded,
) -> None:
    first = served.admin[4:16]
    await served.make(Scope.ADMIN, lifetime=timedelta(seconds=-1))
    refused = await served.client.delete(f"{KEYS}/{first}")
    assert "last valid admin key" in problem_of(refused, 409, "state_forbids")
    other = await make(served, scopes=["admin"])
    assert (await served.client.delete(f"{KEYS}/{first}")).status_code == 204
    served.client.headers["X-API-Key"] = other["key"]
    url = f"{KEYS}/{other['id']}"
    assert (await served.client.delete(url)).status_code == 409
    forced = await served.client.delete(url, params={"force": True})
    assert forced.status_code == 204
    assert await status_with(served, other["key"]) == 401


async def test_a_key_that_is_not_there_is_told(served: Guarded) -> None:
    for call in (
        served.client.get(f"{KEYS}/nobody"),
        served.client.delete(f"{KEYS}/nobody"),
        served.client.post(f"{KEYS}/nobody/rotate", json={}),
    ):
        assert "nobody" in problem_of(await call, 404, "key_not_found")


async def test_keys_are_listed_page_by_page_newest_first(served: Guarded) -> None:
    made = [await make(served) for _ in range(3)]
    page = (await served.client.get(KEYS, params={"page": 2, "page_size": 2})).json()
    assert (page["total"], page["total_pages"]) == (4, 2)
    first_page = (await served.client.get(KEYS, params={"page_size": 2})).json()
    ids = [item["id"] for item in (*first_page["items"], *page["items"])]
    assert ids[:3] == [one["id"] for one in reversed(made)]


async def test_use_is_written_down_once_a_minute_at_most(served: Guarded) -> None:
    made = await make(served)
    keys, watch = served.runtime.identity.keys, served.runtime.identity.watch
    assert watch is not None
    assert await status_with(served, made["key"]) == 200
    await watch.write_used()
    used = (await keys.get(made["id"])).last_used_at
    assert used is not None
    assert await status_with(served, made["key"]) == 200
    await watch.write_used()
    assert (await keys.get(made["id"])).last_used_at == used


async def test_an_admin_key_that_ends_earlier_is_no_other_admin_key(
    served: Guarded,
) -> None:
    first = served.admin[4:16]
    await make(served, scopes=["admin"], expires_in_days=1)
    answer = await served.client.delete(f"{KEYS}/{first}")
    assert "last valid admin key" in problem_of(answer, 409, "state_forbids")
    rotated = (await served.client.post(f"{KEYS}/{first}/rotate", json={})).json()
    answer = await served.client.delete(f"{KEYS}/{rotated['id']}")
    assert "last valid admin key" in problem_of(answer, 409, "state_forbids")
    assert (await served.client.delete(f"{KEYS}/{first}")).status_code == 204


async def test_a_key_is_shown_though_this_process_can_not_load_it_yet(
    database: Database,
) -> None:
    async def refresh() -> None:
        raise DatabaseUnavailable("the database does not answer")

    keys = ApiKeys(database, refresh)
    made = await keys.create(NewKey("ops", frozenset({Scope.READ})))
    assert (await keys.get(made.row.id)).sha256 == digest_of(made.token.encode())
