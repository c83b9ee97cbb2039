"""What a job asks of the predictor: a check when it is submitted, a run later."""

import time

from app.codecs.predict_json import PredictJSON
from app.services.jobs import PinnedVersion
from app.services.traffic import MISSED, Traffic
from app.serving.predict import Call, Predictor


class JobPredictions:
    def __init__(
        self, predictor: Predictor, traffic: Traffic, *, timeout_s: float
    ) -> None:
        self._predictor = predictor
        self._traffic = traffic
        self._timeout_s = timeout_s

    async def run(self, version_id: str, body: bytes) -> bytes:
        call = self._call(version_id, body)
        try:
            reply = await self._predictor.predict(call)
        except MISSED:
            # The version may be so new that this process has not heard of it.
            await self._traffic.catch_up()
            reply = await self._predictor.predict(call)
        return reply.encoded.body

    async def check(self, ref: str, body: bytes) -> PinnedVersion:
        call = self._call(ref, body)
        try:
            record = await self._predictor.check(call)
        except MISSED:
            await self._traffic.catch_up_on_miss()
            record = await self._predictor.check(call)
        return PinnedVersion(record.id, record.name, record.version)

    def _call(self, ref: str, body: bytes) -> Call:
        deadline = time.monotonic() + self._timeout_s
        return Call(ref, PredictJSON(), body, deadline, background=True)
