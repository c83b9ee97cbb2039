"""Webhooks: who may be called, how a call is signed, and that none is lost."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import update

from app.crud import job_webhooks as crud
from app.crud import jobs as jobs_crud
from app.crud.clock import database_now
from app.database import Database
from app.enums import JobStatus
from app.errors import InvalidField
from app.models.job import Job
from app.services.job_view import view_of
from app.services.job_webhooks import MAX_TRIES, JobWebhooks
from app.services.webhook_hosts import WebhookHosts, signature, webhook_key
from tests.jobs.receiver import Receiver, receiving
from tests.jobs.work import SOON_S, new_job, read

KEY = webhook_key("a secret")


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        ("hooks.example.com", "https://hooks.example.com/done?a=b"),
        ("hooks.example.com", "https://HOOKS.example.com:443"),
        ("hooks.example.com.", "https://hooks.example.com./x"),
        ("a.example, hooks.example.com:8443", "https://hooks.example.com:8443/x"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/x"),
        ("http://[::1]:9000", "http://[::1]:9000/x"),
    ],
)
def test_a_listed_host_may_be_called(hosts: str, url: str) -> None:
    assert WebhookHosts.parse(hosts).check(url) == url


@pytest.mark.parametrize(
    ("hosts", "url", "words"),
    [
        ("", "https://hooks.example.com/x", "JOB_WEBHOOK_HOSTS"),
        ("hooks.example.com", "http://hooks.example.com/x", "JOB_WEBHOOK_HOSTS"),
        ("hooks.example.com", "https://hooks.example.com:8443/", "not in"),
        ("hooks.example.com", "https://evil.example/", "not in"),
        ("hooks.example.com", "https://hooks.example.com.evil.example/", "not in"),
        ("hooks.example.com", "https://hooks.example.com@evil.example/", "no address"),
        ("hooks.example.com", "https://a:b@hooks.example.com/", "no address"),
        ("hooks.example.com", "https://hooks.example.com/#x", "no address"),
        ("hooks.example.com", "ftp://hooks.example.com/", "no address"),
        ("hooks.example.com", "https://hooks.example.com:x/", "no address"),
        ("hooks.example.com", "hooks.example.com", "no address"),
        ("hooks.example.com", "https://hooks.example.com/\r\nX: y", "printable"),
        ("hooks.example.com", "https://hooks.example.com/" + "x" * 2000, "printable"),
    ],
)
def test_another_address_is_refused(hosts: str, url: str, words: str) -> None:
    with pytest.raises(InvalidField) as caught:
        WebhookHosts.parse(hosts).check(url)
    assert caught.value.detail.startswith("webhook_url: ")
    assert words in caught.value.detail


@pytest.mark.parametrize("hosts", ["ftp://a", "a/b", "a:x", "https://u@a", "http://"])
def test_a_setting_that_names_no_host_is_refused(hosts: str) -> None:
    with pytest.raises(ValueError, match=r"host|[Pp]ort"):
        WebhookHosts.parse(hosts)


def test_a_signature_can_be_checked_with_the_key_alone() -> None:
    wanted = hmac.new(KEY.encode(), b"1700000000.{}", hashlib.sha256).hexdigest()
    assert signature(KEY, b"{}", at=1700000000) == f"t=1700000000,v1={wanted}"
    assert webhook_key("another secret") != KEY
    assert "a secret" not in KEY


async def ended_job(database: Database, url: str) -> str:
    """A job that has ended with a webhook that is due."""
    async with database.transaction() as db:
        job = await jobs_crud.add(db, new_job())
        assert job is not None
        await db.execute(
            update(Job)
            .where(Job.id == job.id)
            .values(
                status=JobStatus.COMPLETED,
                completed_at=database_now(),
                webhook=url,
                webhook_due_at=database_now(),
            )
        )
    return job.id


@asynccontextmanager
async def sending(
    database: Database, receiver: Receiver, *, hosts: str | None = None
) -> AsyncIterator[None]:
    sender = JobWebhooks(
        database,
        WebhookHosts.parse(receiver.url if hosts is None else hosts),
        key=KEY,
        every_s=0.02,
        backoff_s=0.0,
    )
    task = asyncio.create_task(sender.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


async def called(receiver: Receiver, times: int) -> None:
    for _ in range(times):
        assert await asyncio.to_thread(receiver.has_called.acquire, timeout=SOON_S)


async def settled(database: Database, job_id: str) -> Job:
    async with asyncio.timeout(SOON_S):
        while (job := await read(database, job_id)).webhook_due_at is not None:  # noqa: ASYNC110 - another task changes the row
            await asyncio.sleep(0.02)
    return job


async def test_the_end_of_a_job_is_told_once_and_signed(database: Database) -> None:
    with receiving() as receiver:
        job_id = await ended_job(database, f"{receiver.url}/done?for=me")
        async with sending(database, receiver), sending(database, receiver):
            await called(receiver, 1)
            job = await settled(database, job_id)
        (call,) = receiver.calls
    assert call.path == "/done?for=me"
    assert call.body == view_of(job).to_json()
    assert orjson.loads(call.body)["status"] == "completed"
    at, _, code = call.signature.removeprefix("t=").partition(",v1=")
    assert call.signature == signature(KEY, call.body, at=int(at))
    assert len(code) == 64


@pytest.mark.parametrize("status", [302, 400, 500])
async def test_a_call_that_is_not_taken_is_made_again(
    database: Database, status: int
) -> None:
    with receiving(status, status) as receiver:
        job_id = await ended_job(database, receiver.url)
        async with sending(database, receiver):
            job = await settled(database, job_id)
        assert len(receiver.calls) == 3
        assert {call.path for call in receiver.calls} == {"/"}
    assert job.webhook_tries == 3


async def test_a_receiver_that_never_takes_it_is_given_up(database: Database) -> None:
    with receiving(*[500] * 20) as receiver:
        job_id = await ended_job(database, receiver.url)
        async with sending(database, receiver):
            await settled(database, job_id)
        assert len(receiver.calls) == MAX_TRIES


async def test_one_that_is_away_does_not_keep_the_others_waiting(
    database: Database,
) -> None:
    with receiving() as gone:
        pass
    with receiving() as receiver:
        lost = await ended_job(database, gone.url)
        told = await ended_job(database, receiver.url)
        async with sending(database, receiver, hosts=f"{gone.url},{receiver.url}"):
            await settled(database, told)
            job = await settled(database, lost)
        assert len(receiver.calls) == 1
    assert job.webhook_tries == MAX_TRIES


async def test_a_host_that_is_no_longer_allowed_is_not_called(
    database: Database,
) -> None:
    with receiving() as receiver:
        job_id = await ended_job(database, receiver.url)
        async with sending(database, receiver, hosts="other.example"):
            await settled(database, job_id)
        assert not receiver.calls


async def test_a_sender_that_died_is_followed_by_another(database: Database) -> None:
    with receiving() as receiver:
        job_id = await ended_job(database, receiver.url)
        async with database.transaction() as db:
            dead = await crud.claim(db, 0.0)
        assert dead is not None
        async with sending(database, receiver):
            job = await settled(database, job_id)
        assert len(receiver.calls) == 1
        async with database.transaction() as db:
            await crud.postpone(db, dead, 0.0)
        assert (await read(database, job_id)).webhook_due_at is None
    assert job.webhook_tries == 2


async def test_a_job_that_is_gone_is_forgotten(database: Database) -> None:
    async with database.transaction() as db:
        assert await crud.find(db, crud.DueNotice(str(uuid4()), 1)) is None
