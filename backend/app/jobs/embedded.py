"""The bell of a worker that lives in this process."""

from collections.abc import Awaitable, Callable


class EmbeddedDoorbell:
    """Rings in the other processes only where this one `is_full` of jobs."""

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        is_full: Callable[[], bool],
        wake_others: Callable[[], Awaitable[None]],
    ) -> None:
        self._wake = wake
        self._is_full = is_full
        self._wake_others = wake_others

    async def ring(self, job_id: str) -> None:
        self._wake()
        if self._is_full():
            await self._wake_others()

    async def close(self) -> None:
        return
