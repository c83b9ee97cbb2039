"""File jobs to run: submitted, watched and compared."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from app.artifacts.job_files import STORE, JobFiles
from app.crud import job_claims
from app.crud.job_claims import AnyClaimed
from app.database import Database
from app.datasets.base import Recipe
from app.enums import ChunkStatus, Priority
from app.models.job import Job
from app.models.job_chunk import JobChunk
from app.services.file_jobs import FileJobs, NewFileJob
from app.services.file_work import FileWork
from app.services.job_endings import Ending, Wrote
from app.services.job_hand import Hand
from app.services.job_runner import JobRunner, RunnerLimits
from app.services.job_store import StoreSight
from app.services.job_watch import JobWatch
from app.services.job_work import JobWork
from app.services.jobs import Jobs, PinnedVersion
from tests.artifacts.files import chunks_of, names_in
from tests.jobs.numbers import SOON_S, NumberScoring, recipe
from tests.jobs.work import QUICK, VERSION_ID, Bell, Echo, accept

NUMBERS = b"".join(b"%d\n" % number for number in range(10))
PINNED = PinnedVersion(VERSION_ID, "iris", "1.0.0")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a server has of jobs, on one database and one folder."""

    database: Database
    files: JobFiles
    jobs: Jobs
    file_jobs: FileJobs
    bell: Bell

    async def submit(
        self,
        body: bytes = NUMBERS,
        *,
        recipe: Recipe | None = None,
        priority: Priority = Priority.NORMAL,
        key: str | None = None,
        fingerprint: str = "same",
    ) -> Job:
        async with self.files.receiving() as incoming:
            await incoming.add(chunks_of(body))
            return await self.file_jobs.submit(
                incoming, new_file_job(recipe, priority, key, fingerprint)
            )

    @asynccontextmanager
    async def worker(
        self,
        scoring: NumberScoring | None = None,
        limits: RunnerLimits = QUICK,
        *,
        ring: Callable[[], None] = lambda: None,
        data_dir: Path | None = None,
    ) -> AsyncIterator[JobRunner]:
        """`data_dir`: where it looks for files that are elsewhere."""

        async def call_others(_: str) -> None:
            ring()

        files = self.files if data_dir is None else JobFiles(data_dir)
        work = FileWork(self.database, scoring or NumberScoring(), files)
        perform = JobWork(Echo(), work).run
        sight = StoreSight(self.database, files, pause_s=0.05)
        runner = JobRunner(
            self.database, perform, limits, ring=call_others, sight=sight
        )
        async with runner.running():
            yield runner

    async def claim(
        self, owner: str = "worker", lease_s: float = 30.0
    ) -> AnyClaimed | None:
        async with self.database.transaction() as db:
            return await job_claims.claim(db, owner, lease_s)

    async def run(
        self, claimed: AnyClaimed | None, scoring: NumberScoring | None = None
    ) -> Ending:
        """Does the work, writes nothing yet."""
        assert claimed is not None
        work = FileWork(self.database, scoring or NumberScoring(), self.files)
        return await JobWork(Echo(), work).run(Hand(claimed))

    async def write(self, ending: Ending) -> Wrote:
        async with self.database.transaction() as db:
            return await ending.write(db)

    async def step(self, scoring: NumberScoring | None = None) -> Wrote:
        """Does the next piece of work from claim to commit."""
        return await self.write(await self.run(await self.claim(), scoring))

    async def count_chunks(self, job: Job, status: ChunkStatus | None = None) -> int:
        where = [JobChunk.job_id == job.id]
        if status is not None:
            where.append(JobChunk.status == status)
        async with self.database.reading() as db:
            found = await db.scalars(select(func.count(JobChunk.number)).where(*where))
            return found.one()

    async def ended(self, job: Job) -> Job:
        return await self.jobs.wait(job.id, SOON_S)

    async def result(self, job: Job) -> bytes:
        return (await self.file_jobs.result(job.id)).result.path.read_bytes()


def jobs_in(data_dir: Path) -> list[str]:
    """The jobs that have a folder."""
    return [name for name in names_in(data_dir / "jobs") if name != STORE]


def make_desk(database: Database, data_dir: Path) -> Desk:
    bell, files = Bell(), JobFiles(data_dir)
    return Desk(
        database=database,
        files=files,
        jobs=Jobs(database, bell, accept, JobWatch(), remove_files=files.remove),
        file_jobs=FileJobs(database, bell, files),
        bell=bell,
    )


def new_file_job(
    wanted: Recipe | None = None,
    priority: Priority = Priority.NORMAL,
    key: str | None = None,
    fingerprint: str = "same",
) -> NewFileJob:
    return NewFileJob(
        pinned=PINNED,
        recipe=wanted or recipe(),
        rows_total=7,
        input_name="numbers.csv",
        priority=priority,
        idempotency_key=key,
        fingerprint=fingerprint,
    )
