"""How a submit wakes a worker. The row is the truth; a lost ring costs only time."""

from typing import Protocol


class Doorbell(Protocol):
    async def ring(self, job_id: str) -> None:
        """Tells a worker that this job waits. Quick, and never an error."""
        ...

    async def close(self) -> None: ...
