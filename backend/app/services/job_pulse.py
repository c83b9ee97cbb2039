"""The sign of life of a worker process: a file that each look for jobs writes.

A worker listens on no port, so this is what a health check can see. Its name is the
worker's (WORKER_NAME), so that two of a machine don't answer for each other.
"""

import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

# A look may wait for a slow database, which is not the worker's fault.
_SLACK_S: Final = 30.0
_WELL: Final = "well"


class Pulse:
    def __init__(self, name: str) -> None:
        self._file = Path(tempfile.gettempdir(), f"mlforge-{name}.alive")

    def beat(self, *, is_well: bool) -> None:
        self._file.write_text(_WELL if is_well else "no store of job files")

    def end(self) -> None:
        """After an orderly stop; what a worker that died left grows old."""
        self._file.unlink(missing_ok=True)

    def trouble(self, sweep_s: float) -> str | None:
        """What is wrong with the worker; None where it looks for jobs and can work
        on all that it finds."""
        with suppress(FileNotFoundError):
            age_s = time.time() - self._file.stat().st_mtime
            if age_s >= 3 * sweep_s + _SLACK_S:
                return f"The worker has not looked for jobs for {age_s:.0f} s."
            # Empty for a moment while it is written.
            if self._file.read_text() not in {_WELL, ""}:
                return (
                    "The worker can't use the files of jobs that wait; its log says "
                    "why: give every worker the same DATA_DIR."
                )
            return None
        return "No worker of this name has looked for jobs here."
