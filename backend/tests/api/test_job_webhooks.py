"""Webhooks of file jobs, from the form to a receiver that checks the signature."""

import asyncio
from collections.abc import Iterator

import httpx
import orjson
import pytest

from app.config import Settings
from app.services.webhook_hosts import signature, webhook_key
from tests import graphs
from tests.api.file_jobs import JOBS, completed, submit
from tests.calls import upload
from tests.conftest import MakeSettings
from tests.jobs.receiver import Receiver, receiving
from tests.jobs.work import SOON_S


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def settings(
    make_settings: MakeSettings, deployment: dict[str, str], receiver: Receiver
) -> Settings:
    return make_settings(**deployment, job_webhook_hosts=receiver.url)


async def test_the_end_of_a_file_job_is_told_to_who_asked(
    client: httpx.AsyncClient, worker: None, settings: Settings, receiver: Receiver
) -> None:
    await upload(client, graphs.affine(feature_names=["a", "b", "c"]), name="line")
    job = await submit(
        client,
        b"a,b,c\n1,2,3\n",
        model_id="line",
        webhook_url=f"{receiver.url}/done",
    )
    seen = await completed(client, job["id"])
    assert await asyncio.to_thread(receiver.has_called.acquire, timeout=SOON_S)
    (call,) = receiver.calls
    assert call.path == "/done"
    assert orjson.loads(call.body) == seen
    key = webhook_key(settings.secret_key.get_secret_value())
    at = int(call.signature.removeprefix("t=").partition(",")[0])
    assert call.signature == signature(key, call.body, at=at)


async def test_a_cancelled_job_is_told_of_too(
    client: httpx.AsyncClient, settings: Settings, receiver: Receiver, worker: None
) -> None:
    await upload(client, graphs.affine(feature_names=["a", "b", "c"]), name="line")
    job = await submit(
        client, b"a,b,c\n1,2,3\n", model_id="line", webhook_url=receiver.url
    )
    # Whether the worker or the caller is first, one end is told.
    await client.post(f"{JOBS}/{job['id']}/cancel")
    assert await asyncio.to_thread(receiver.has_called.acquire, timeout=SOON_S)
    (call,) = receiver.calls
    assert orjson.loads(call.body)["status"] in {"cancelled", "completed"}
