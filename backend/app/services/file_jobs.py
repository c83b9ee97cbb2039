"""The use cases of file jobs, as callers see them, beside what `jobs` does for all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

from app.artifacts.job_files import Incoming, JobFiles
from app.auth.actor import current_actor
from app.crud import job_chunks
from app.crud import jobs as crud
from app.crud.jobs import NewFile, NewJob
from app.database import Database, ReadSession, after_commit
from app.datasets.base import Included, Recipe, ResultFile, RowError
from app.datasets.parts import ERRORS, file_of
from app.enums import Action, JobStatus, Priority
from app.errors import QuotaExceeded, StateForbids
from app.jobs.doorbell import Doorbell
from app.models.job import Job
from app.services.file_records import errors_from_json, files_from_json
from app.services.job_lookup import find_by_key, get_by_key, get_job
from app.services.job_notes import note_job
from app.services.job_options import JobOptions
from app.services.jobs import RANK, PinnedVersion
from app.services.quotas import hold_job


@dataclass(frozen=True, slots=True)
class NewFileJob:
    """A file job as asked for. `rows_total` is what the look at the file estimated.

    `fingerprint` stands for all that the caller asked, so that an idempotency key
    used for something else is noticed.
    """

    pinned: PinnedVersion
    recipe: Recipe
    rows_total: int
    input_name: str
    included: Included = field(default_factory=Included)
    priority: Priority = Priority.NORMAL
    idempotency_key: str | None = None
    fingerprint: str | None = None
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    path: Path
    file: ResultFile


@dataclass(frozen=True, slots=True)
class FileResult:
    """What a finished job gave: its files, and the parts for every other format."""

    recipe: Recipe
    result: StoredFile
    errors: StoredFile | None
    parts: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows of running chunks included; failed rows count as done."""

    rows_done: int
    rows_failed: int
    rows_total: int


class FileJobs:
    def __init__(
        self,
        database: Database,
        doorbell: Doorbell,
        files: JobFiles,
        *,
        max_attempts: int = 3,
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._files = files
        self._max_attempts = max_attempts

    async def submit(self, incoming: Incoming, new: NewFileJob) -> Job:
        """The job, with the file that came in as its input.

        Where a job with the same idempotency key is there, that job; raises
        InvalidField where it was asked for something else. A crash, or a commit whose
        answer was lost, may leave a folder without a job: the sweep's.
        """
        job_id = str(uuid4())
        store = await self._files.make_store()
        await self._files.keep(incoming, job_id)
        try:
            job = await self._add(_new_file(job_id, store, incoming, new), new)
        except QuotaExceeded:
            await self._files.remove(job_id)
            raise
        if job is None:
            await self._files.remove(job_id)
            async with self._database.reading() as db:
                return await get_by_key(db, new.idempotency_key, new.fingerprint)
        return job

    async def _add(self, file: NewFile, new: NewFileJob) -> Job | None:
        async with self._database.transaction() as db:
            await hold_job(db, file.input_bytes)
            job = await crud.add_file(db, self._new_job(new), file)
            if job is not None:
                after_commit(db, partial(self._doorbell.ring, job.id))
                note_job(db, Action.JOB_SUBMIT, job)
        return job

    async def find_by_key(self, key: str, fingerprint: str) -> Job | None:
        """The job that was submitted under this key; raises InvalidField where the
        fingerprint is another."""
        async with self._database.reading() as db:
            return await find_by_key(db, key, fingerprint)

    async def recipe(self, job_id: str) -> Recipe:
        """Raises StateForbids where the job is no file job."""
        async with self._database.reading() as db:
            job = await get_job(db, job_id)
            return await _recipe(db, job)

    async def result(self, job_id: str) -> FileResult:
        """Of a completed file job; raises StateForbids of any other."""
        async with self._database.reading() as db:
            job = await get_job(db, job_id)
            recipe = await _recipe(db, job)
            parts = await job_chunks.list_parts(db, job.id)
        files = files_from_json(job.result_files)
        if job.status is not JobStatus.COMPLETED or not files:
            raise StateForbids(
                f"job {job.id} is {job.status}; only a completed job has a result"
            )
        folder = self._files.folder(job.id)
        stored = [StoredFile(folder / file.name, file) for file in files]
        return FileResult(
            recipe=recipe,
            result=stored[0],
            errors=stored[1] if len(stored) > 1 else None,
            parts=tuple(self._files.part(job.id, part) for part in parts),
        )

    async def errors_so_far(self, job_id: str) -> Sequence[Path]:
        """The failed rows of a job that failed or was cancelled: a file for each of
        its chunks that is done and has some, in order.

        Raises StateForbids where no chunk is done.
        """
        async with self._database.reading() as db:
            job = await get_job(db, job_id)
            await _recipe(db, job)
            parts = await job_chunks.list_parts(db, job.id)
        if job.status not in (JobStatus.FAILED, JobStatus.CANCELLED) or not parts:
            raise StateForbids(
                f"job {job.id} is {job.status}, and there is no file of failed rows: "
                "it comes with the result, or once a job that failed or was cancelled "
                "has scored some of its rows; the first of them stand in its `errors`"
            )
        paths = [file_of(self._files.part(job.id, part), ERRORS) for part in parts]
        return await asyncio.to_thread(lambda: [p for p in paths if p.exists()])

    def _new_job(self, new: NewFileJob) -> NewJob:
        return NewJob(
            version_id=new.pinned.version_id,
            model_name=new.pinned.name,
            model_version=new.pinned.version,
            payload=b"",
            priority=RANK[new.priority],
            max_attempts=self._max_attempts,
            rows_total=new.rows_total,
            idempotency_key=new.idempotency_key,
            fingerprint=new.fingerprint,
            created_by=current_actor().owner,
        )


def progress_of(job: Job) -> Progress:
    done = job.rows_done + job.rows_done_in_hand
    failed = job.rows_failed + job.rows_failed_in_hand
    return Progress(done, failed, max(done, job.rows_total))


def error_sample_of(job: Job) -> Sequence[RowError]:
    """The first failed rows, in the order of the file."""
    return errors_from_json(job.error_sample)


def _new_file(job_id: str, store: str, incoming: Incoming, new: NewFileJob) -> NewFile:
    return NewFile(
        job_id=job_id,
        recipe=new.recipe.to_json(),
        options=JobOptions.of(new.recipe, new.included).to_json(),
        format=new.recipe.kind.format,
        result_format=new.recipe.result_format,
        input_bytes=incoming.size_bytes,
        input_sha256=incoming.sha256,
        input_name=new.input_name,
        store=store,
        webhook=new.webhook,
    )


async def _recipe(db: ReadSession, job: Job) -> Recipe:
    text = await crud.find_recipe(db, job.id)
    if text is None:
        raise StateForbids(
            f"job {job.id} is a prediction, not a file job: it has no files"
        )
    return Recipe.from_json(text)
