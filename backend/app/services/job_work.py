"""Who does which work: predictions here, the stages of file jobs in `file_work`."""

from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from app.crud.chunk_leases import ClaimedChunk
from app.crud.job_leases import Claimed
from app.enums import JobStage
from app.errors import Unavailable
from app.services.file_work import FileWork
from app.services.job_endings import Completed, Ending
from app.services.job_hand import Hand
from app.services.job_store import store_trouble_is_told

# Version id and request body to response body, both JSON.
Predict = Callable[[str, bytes], Coroutine[Any, Any, bytes]]


class JobWork:
    def __init__(self, predict: Predict, files: FileWork | None) -> None:
        self._predict = predict
        self._files = files

    async def run(self, hand: Hand) -> Ending:
        claimed = hand.claimed
        if isinstance(claimed, Claimed) and claimed.stage is None:
            return await self._prediction(claimed)
        if self._files is None:
            raise Unavailable("this worker can't score files")
        with store_trouble_is_told():
            return await self._stage(self._files, hand)

    async def _stage(self, files: FileWork, hand: Hand) -> Ending:
        match hand.claimed:
            case ClaimedChunk() as chunk:
                return await files.score(hand, chunk)
            case Claimed(stage=JobStage.PLAN) as claimed:
                return await files.plan(claimed)
            case claimed:
                return await files.finish(claimed)

    async def _prediction(self, claimed: Claimed) -> Ending:
        began = monotonic()
        body = await self._predict(claimed.version_id, claimed.payload)
        return Completed(claimed.lease, body, (monotonic() - began) * 1000)
