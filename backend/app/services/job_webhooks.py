"""Tells those who asked that a job has ended. Durable: what is due stands in the row,
so a sender that dies or a receiver that is away costs nothing but time."""

import asyncio
import time
from typing import Final

import httpx
import structlog

from app.crud import job_webhooks as crud
from app.crud.job_webhooks import DueNotice
from app.database import Database
from app.errors import DatabaseUnavailable, InsufficientStorage, InvalidField
from app.models.job import Job
from app.services.job_view import view_of
from app.services.webhook_hosts import WebhookHosts, signature

_log = structlog.get_logger(__name__)

MAX_TRIES: Final = 5
TIMEOUT_S: Final = 5.0
# Longer than a try may take, so that two senders never tell the same at once.
_LEASE_S: Final = 30.0
_BACKOFF_S: Final = 10.0
_BACKOFF_GROWS: Final = 6.0
_DATABASE_TROUBLE: Final = (DatabaseUnavailable, InsufficientStorage)


class JobWebhooks:
    """One call at a time, so that a slow receiver costs no more than one connection."""

    def __init__(
        self,
        database: Database,
        hosts: WebhookHosts,
        *,
        key: str,
        every_s: float = 1.0,
        backoff_s: float = _BACKOFF_S,
    ) -> None:
        self._database = database
        self._hosts = hosts
        self._key = key
        self._every_s = every_s
        self._backoff_s = backoff_s

    def check(self, url: str) -> str:
        """`url` where it may be called; raises InvalidField."""
        return self._hosts.check(url)

    async def run(self) -> None:
        """Tells for ever; where no host is allowed there is nothing to do."""
        if not self._hosts.places:
            return
        async with httpx.AsyncClient(
            timeout=TIMEOUT_S, follow_redirects=False, trust_env=False
        ) as client:
            while True:
                await self._tell_all(client)
                await asyncio.sleep(self._every_s)

    async def _tell_all(self, client: httpx.AsyncClient) -> None:
        try:
            while await self._tell_next(client):
                pass
        except _DATABASE_TROUBLE as error:
            _log.warning("webhooks_wait", error=error.detail)

    async def _tell_next(self, client: httpx.AsyncClient) -> bool:
        async with self._database.transaction() as db:
            notice = await crud.claim(db, _LEASE_S)
        if notice is None:
            return False
        async with self._database.reading() as db:
            job = await crud.find(db, notice)
        if job is not None:
            await self._settle(notice, await self._trouble(client, job))
        return True

    async def _settle(self, notice: DueNotice, trouble: str) -> None:
        is_over = not trouble or notice.tries >= MAX_TRIES
        if trouble:
            _log.warning(
                "webhook_failed",
                job_id=notice.job_id,
                tries=notice.tries,
                given_up=is_over,
                error=trouble,
            )
        async with self._database.transaction() as db:
            if is_over:
                await crud.settle(db, notice)
            else:
                delay_s = self._backoff_s * _BACKOFF_GROWS ** (notice.tries - 1)
                await crud.postpone(db, notice, delay_s)

    async def _trouble(self, client: httpx.AsyncClient, job: Job) -> str:
        """Calls; what went wrong, or nothing."""
        try:
            # What was allowed at the submit may not be any more.
            url = self._hosts.check(job.webhook or "")
            async with asyncio.timeout(TIMEOUT_S):
                return await self._call(client, url, view_of(job).to_json())
        except InvalidField as error:
            return error.detail
        except TimeoutError:
            return f"no answer within {TIMEOUT_S:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return repr(error)

    async def _call(self, client: httpx.AsyncClient, url: str, body: bytes) -> str:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mlforge",
            "X-MLForge-Signature": signature(self._key, body, at=int(time.time())),
        }
        # The answer's body may be endless: its status is all that counts.
        async with client.stream("POST", url, content=body, headers=headers) as answer:
            return "" if answer.is_success else f"it answered {answer.status_code}"
