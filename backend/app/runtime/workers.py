"""Who works on which jobs, and how many at once."""

from collections.abc import Awaitable, Callable
from typing import Literal

from app.config import Settings
from app.database import Database
from app.enums import JobKind
from app.services.job_runner import JobRunner, Meter, Perform, RunnerLimits
from app.services.job_store import StoreSight

# `files` is the process beside a server without Redis.
Role = Literal["api", "worker", "files"]


def kind_of_jobs(settings: Settings, role: Role) -> JobKind | None:
    """None: of every kind."""
    if role == "files":
        return JobKind.FILE
    return JobKind.PREDICTION if role == "api" and settings.job_process else None


def make_job_runner(
    settings: Settings,
    database: Database,
    perform: Perform,
    *,
    only: JobKind | None,
    ended: Callable[[str], None],
    ring: Callable[[str], Awaitable[None]],
    meter: Meter,
    sight: StoreSight,
) -> JobRunner:
    limits = RunnerLimits(
        concurrency=settings.job_concurrency,
        lease_s=settings.job_lease_s,
        sweep_s=settings.job_sweep_s,
    )
    return JobRunner(
        database,
        perform,
        limits,
        only=only,
        ended=ended,
        ring=ring,
        meter=meter,
        sight=sight,
    )
