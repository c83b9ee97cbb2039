"""The store of job files as a worker sees it: which it is, and whether it works.

A worker takes only jobs whose files lie in the store that it sees, so one with a
forgotten mount leaves them to the others.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from app.artifacts.job_files import JobFiles
from app.crud import job_upkeep
from app.database import Database
from app.errors import InsufficientStorage

logger = logging.getLogger(__name__)

# With no store there are jobs without files alone.
_NO_STORE: Final = ""
# How long a store that could not be used is trouble to the health check.
_TROUBLED_S: Final = 60.0


class StoreTrouble(Exception):
    """Files could not be read or written. `is_everything`: not just this job's."""

    def __init__(self, reason: str, *, is_everything: bool) -> None:
        super().__init__(reason)
        self.is_everything = is_everything
        self.detail = (
            "the store of job files (DATA_DIR/jobs) can't be used by the worker: "
            f"{reason}; mend that, then retry the job"
        )


@contextmanager
def store_trouble_is_told() -> Iterator[None]:
    """Tells what a disk, a mount or a permission did from all other errors."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreTrouble(
            "a file of the job is missing", is_everything=False
        ) from error
    except InsufficientStorage as error:
        raise StoreTrouble("the disk is full", is_everything=True) from error
    except OSError as error:
        # Without a number it is pyarrow's word about what is in a file.
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
            raise
        reason = error.strerror or type(error).__name__
        raise StoreTrouble(reason, is_everything=True) from error


class StoreSight:
    def __init__(self, database: Database, files: JobFiles, *, pause_s: float) -> None:
        self._database = database
        self._files = files
        self._pause_s = pause_s
        self._paused_until = 0.0
        self._troubled_until = 0.0
        self._unseen: str | None = None

    async def store(self) -> str:
        """The store whose jobs may be claimed now."""
        if monotonic() < self._paused_until:
            return _NO_STORE
        return await self._files.store() or _NO_STORE

    def pause(self, reason: str) -> None:
        """Leaves files to other workers for a while."""
        now = monotonic()
        if now >= self._troubled_until:
            logger.error("file jobs are left to other workers for now: %s", reason)
        self._paused_until = now + self._pause_s
        self._troubled_until = now + _TROUBLED_S

    async def look(self) -> None:
        """Notices, and says once, where jobs wait in a store that is not seen."""
        store = await self._files.store() or _NO_STORE
        async with self._database.reading() as db:
            unseen = await job_upkeep.find_elsewhere(db, store)
        if unseen is not None and self._unseen is None:
            logger.error(
                "DATA_DIR (%s) does not hold the files of job %s: give every worker "
                "the same DATA_DIR",
                self._files.data_dir,
                unseen,
            )
        self._unseen = unseen

    @property
    def is_well(self) -> bool:
        return self._unseen is None and monotonic() >= self._troubled_until
