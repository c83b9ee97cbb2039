"""Removes jobs that ended long ago, and the files of jobs that are gone."""

from typing import Final

from app.artifacts.job_files import JobFiles
from app.auth.actor import JANITOR
from app.crud import job_upkeep
from app.database import Database
from app.enums import Action
from app.services.audit import note

_DAY_S: Final = 86_400.0
# One transaction's worth: it must not hold others up.
_PORTION: Final = 100


class JobRetention:
    """`days` of 0 keeps jobs for ever."""

    def __init__(
        self, database: Database, files: JobFiles, *, days: int, grace_s: float
    ) -> None:
        self._database = database
        self._files = files
        self._days = days
        self._grace_s = grace_s

    async def clean(self) -> None:
        if self._days:
            await self.remove_ended(self._days * _DAY_S)
        await self._files.sweep(self._known, self._grace_s)

    async def remove_ended(self, age_s: float) -> None:
        """Rows first: what a crash leaves of the files is the sweep's."""
        gone = [""]
        while gone:
            async with self._database.transaction() as db:
                gone = await job_upkeep.remove_ended(db, age_s, limit=_PORTION)
                for job_id in gone:
                    note(db, Action.JOB_DELETE, job_id, actor=JANITOR)
            for job_id in gone:
                await self._files.remove(job_id)

    async def _known(self) -> set[str]:
        async with self._database.reading() as db:
            return await job_upkeep.file_job_ids(db)
