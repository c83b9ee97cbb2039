"""The use cases of jobs, as callers see them. Running them: `job_runner`."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any, Final

from app.auth.actor import current_actor
from app.crud import job_retries
from app.crud import jobs as crud
from app.crud.jobs import JobFilter, NewJob, StoredResult
from app.database import Database, after_commit
from app.enums import Action, JobKind, JobStatus, Priority, RetryRows
from app.errors import InvalidField, StateForbids
from app.jobs.doorbell import Doorbell
from app.kit.refs import BadRef, Id, Name, NameVersion, parse_ref
from app.models.job import Job
from app.services.file_endings import INVALID_FILE
from app.services.job_lookup import (
    find_by_key,
    get_by_key,
    get_job,
    get_locked,
    job_not_found,
    normal_id,
)
from app.services.job_notes import note_job
from app.services.job_watch import JobWatch
from app.services.quotas import hold_job

ENDED: Final = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
RANK: Final = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
_PRIORITY: Final = {rank: priority for priority, rank in RANK.items()}
# A job that ends in another process is noticed this late at most.
_LOOK_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """What a reference resolved to when the job was submitted."""

    version_id: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job as asked for; `payload` is the JSON body of a prediction."""

    ref: str
    payload: bytes
    rows_total: int
    priority: Priority = Priority.NORMAL
    idempotency_key: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    items: Sequence[Job]
    total: int


# Reference and prediction body; raises as a prediction would.
Check = Callable[[str, bytes], Coroutine[Any, Any, PinnedVersion]]


# Id of a file job that is gone.
RemoveFiles = Callable[[str], Awaitable[None]]


async def _no_files(_: str) -> None:
    return


class Jobs:
    def __init__(
        self,
        database: Database,
        doorbell: Doorbell,
        check: Check,
        watch: JobWatch,
        *,
        max_attempts: int = 3,
        remove_files: RemoveFiles = _no_files,
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._check = check
        self._watch = watch
        self._max_attempts = max_attempts
        self._remove_files = remove_files
        self._stopping = False

    @property
    def stopping(self) -> bool:
        return self._stopping

    def stop_waiting(self) -> None:
        """Lets everyone who waits for a job go, so that the server can end."""
        self._stopping = True

    async def submit(self, request: JobRequest) -> Job:
        """Where a job with the same idempotency key is there, that job; raises
        InvalidField where it was asked for something else."""
        pinned = await self._check(request.ref, request.payload)
        new = NewJob(
            version_id=pinned.version_id,
            model_name=pinned.name,
            model_version=pinned.version,
            payload=request.payload,
            priority=RANK[request.priority],
            max_attempts=self._max_attempts,
            rows_total=request.rows_total,
            idempotency_key=request.idempotency_key,
            fingerprint=request.fingerprint,
            created_by=current_actor().owner,
        )
        async with self._database.transaction() as db:
            await hold_job(db, len(request.payload))
            job = await crud.add(db, new)
            if job is not None:
                after_commit(db, partial(self._doorbell.ring, job.id))
                note_job(db, Action.JOB_SUBMIT, job)
                return job
        async with self._database.reading() as db:
            return await get_by_key(db, request.idempotency_key, request.fingerprint)

    async def find_by_key(self, key: str, fingerprint: str) -> Job | None:
        """The job that was submitted under this key; raises InvalidField where the
        fingerprint is another."""
        async with self._database.reading() as db:
            return await find_by_key(db, key, fingerprint)

    async def knows_key(self, key: str) -> bool:
        """Whether a job was submitted under it, whatever it was asked."""
        async with self._database.reading() as db:
            return await crud.find_by_key(db, key) is not None

    async def get(self, job_id: str) -> Job:
        async with self._database.reading() as db:
            return await get_job(db, job_id)

    async def list_jobs(
        self,
        status: JobStatus | None,
        ref: str | None,
        *,
        kind: JobKind | None = None,
        names: str | None = None,
        page: int,
        page_size: int,
    ) -> JobPage:
        """`names`: only of models whose names match this regular expression."""
        wanted = replace(_filter(ref), status=status, kind=kind, names=names)
        async with self._database.reading() as db:
            items = await crud.list_jobs(
                db, wanted, offset=(page - 1) * page_size, limit=page_size
            )
            return JobPage(items, await crud.count(db, wanted))

    async def result(self, job_id: str, *, wait_s: float) -> StoredResult | Job:
        """The result of a prediction; the job itself where it has none after `wait_s`:
        it has not ended, failed or was cancelled, or it is a file job."""
        job = await self.wait(job_id, wait_s)
        if job.status is not JobStatus.COMPLETED or job.kind is JobKind.FILE:
            return job
        async with self._database.reading() as db:
            stored = await crud.find_result(db, job.id)
        if stored is None:
            raise job_not_found(job_id)
        return stored

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """The job as soon as it has ended, or as it is after `timeout_s`.

        No connection is held between two looks.
        """
        deadline = monotonic() + timeout_s
        with self._watch.watching(normal_id(job_id)) as ended:
            job = await self.get(job_id)
            while job.status not in ENDED and (left_s := deadline - monotonic()) > 0:
                if self._stopping:
                    break
                await _wait_for(ended, min(left_s, _LOOK_EVERY_S))
                job = await self.get(job_id)
        return job

    async def cancel(self, job_id: str) -> Job:
        async with self._database.transaction() as db:
            job = await get_locked(db, job_id)
            if job.status in ENDED:
                raise StateForbids(
                    f"job {job.id} has ended as {job.status}; only a queued or "
                    "running job can be cancelled"
                )
            has_ended = await crud.cancel(db, job)
            note_job(db, Action.JOB_CANCEL, job)
        if has_ended:
            self._watch.ended(job.id)
        return job

    async def retry(self, job_id: str, rows: RetryRows = RetryRows.FAILED) -> Job:
        """`rows`, of a file job: all again, or those alone that were not scored."""
        async with self._database.transaction() as db:
            job = await get_locked(db, job_id)
            if not _may_retry(job):
                raise StateForbids(
                    f"job {job.id} is {job.status}{_without_failed_rows(job)}; only a "
                    "failed or cancelled job can be retried, or a file job with failed "
                    "rows"
                )
            if job.kind is JobKind.FILE and job.error_code == INVALID_FILE:
                raise StateForbids(
                    f"job {job.id} has failed because its file can't be read, and the "
                    "file is not kept; mend it and submit it again"
                )
            await hold_job(db, 0)
            # Whoever has it run again has it count for their own quotas.
            job.created_by = current_actor().owner or job.created_by
            if job.kind is JobKind.FILE and rows is RetryRows.FAILED:
                await job_retries.requeue_failed(db, job)
            else:
                await job_retries.requeue(db, job)
            after_commit(db, partial(self._doorbell.ring, job.id))
            note_job(db, Action.JOB_RETRY, job)
        return job

    async def delete(self, job_id: str) -> None:
        """The job and its files; what a crash leaves of them is the sweep's."""
        async with self._database.transaction() as db:
            job = await get_locked(db, job_id)
            if job.status not in ENDED:
                raise StateForbids(
                    f"job {job.id} is {job.status}; cancel it first, and delete it "
                    "when it has ended"
                )
            await crud.remove(db, job)
            note_job(db, Action.JOB_DELETE, job)
            if job.kind is JobKind.FILE:
                after_commit(db, partial(self._remove_files, job.id))


def _may_retry(job: Job) -> bool:
    if job.status is JobStatus.COMPLETED:
        return job.rows_failed > 0
    return job.status in ENDED


def _without_failed_rows(job: Job) -> str:
    is_whole = job.kind is JobKind.FILE and job.status is JobStatus.COMPLETED
    return " without a failed row" if is_whole else ""


def priority_of(job: Job) -> Priority:
    return _PRIORITY[job.priority]


def _filter(ref: str | None) -> JobFilter:
    if ref is None:
        return JobFilter()
    try:
        parsed = parse_ref(ref)
    except BadRef as error:
        raise InvalidField(f"model_id: {error}") from error
    match parsed:
        case Id(version_id):
            return JobFilter(version_id=version_id)
        case Name(name):
            return JobFilter(model_name=name)
        case NameVersion(name, version):
            return JobFilter(model_name=name, model_version=version)
    raise InvalidField(
        f"model_id: {ref!r} is an alias, which may have moved since a job was "
        "submitted; filter by an id, a name or name:version"
    )


async def _wait_for(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
