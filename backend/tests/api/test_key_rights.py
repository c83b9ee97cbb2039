"""What a valid key is still not enough for."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.config import Settings
from app.enums import Scope
from tests import graphs
from tests.api.file_jobs import JOBS
from tests.calls import problem_of, upload
from tests.conftest import MakeSettings
from tests.keys import Guarded, guarded

CSV = b"a,b,c\n1,2,3\n"


@pytest.fixture
def settings(make_settings: MakeSettings, sqlite_dsn: str) -> Settings:
    return make_settings(
        auth="on", anonymous_scopes="predict,write", database_url=sqlite_dsn
    )


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Guarded]:
    async with guarded(settings) as served:
        model = graphs.affine(feature_names=["a", "b", "c"])
        await upload(served.client, model, name="line")
        yield served


async def submit(
    served: Guarded, headers: dict[str, str], name: str = "rows.csv"
) -> httpx.Response:
    fields = {"model_id": (None, "line"), "source": (None, name)}
    return await served.client.post(JOBS, files=fields, headers=headers)


async def test_the_inbox_is_read_for_keys_that_may_write_everywhere(
    served: Guarded, settings: Settings
) -> None:
    inbox = settings.data_dir / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "rows.csv").write_bytes(CSV)
    both = (Scope.PREDICT, Scope.WRITE)
    for headers in (
        {},
        await served.headers(Scope.PREDICT),
        await served.headers(Scope.PREDICT, Scope.READ),
        await served.headers(*both, pattern="li*"),
    ):
        for name in ("rows.csv", "not-there.csv"):
            told = problem_of(await submit(served, headers, name), 403, "forbidden")
            assert '"write"' in told
            assert "pattern" in told
    for headers in (await served.headers(*both), await served.headers(Scope.ADMIN)):
        assert (await submit(served, headers)).status_code == 201


async def test_idempotency_keys_are_apart_for_each_api_key(served: Guarded) -> None:
    callers: list[dict[str, str]] = [{}]
    callers += [await served.headers(Scope.PREDICT) for _ in range(2)]
    body = {"model_id": "line", "input_data": {"x": [[1.0, 2.0, 3.0]]}}
    ids = set()
    for number, caller in enumerate(callers):
        headers = {**caller, "Idempotency-Key": "k" * 255}
        own = {**body, "priority": ("low", "normal", "high")[number]}
        first = await served.client.post(JOBS, json=own, headers=headers)
        again = await served.client.post(JOBS, json=own, headers=headers)
        assert (first.status_code, again.status_code) == (201, 200), again.text
        file = await send_as(served, headers)
        assert first.json()["id"] in problem_of(file, 422, "invalid_field")
        ids.add(first.json()["id"])
    assert len(ids) == len(callers)


async def send_as(served: Guarded, headers: dict[str, str]) -> httpx.Response:
    files = {"model_id": (None, b"line"), "file": ("rows.csv", CSV)}
    return await served.client.post(JOBS, files=files, headers=headers)
