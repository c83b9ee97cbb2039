"""From bytes to bytes: resolve, decode, cache, run, encode.

Nothing here knows HTTP, SQL or settings. Everything it needs was built in runtime/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.engine.values import weigh
from app.kit.offload import run_sized
from app.serving.limits import deadline_after, earliest

if TYPE_CHECKING:
    from app.cache.base import CacheStatus
    from app.cache.tiered import PredictionCache
    from app.codecs.base import Asked, Codec, Encoded
    from app.observability.watch import Observer
    from app.serving.limits import Deadline, TimeLimits
    from app.serving.routes import Routes, VersionRecord
    from app.serving.runner import Run, Runner


class Call(NamedTuple):
    """One request. `ref` None means the default model; `deadline` is monotonic, and the
    server's; `own` is when the caller stops waiting, where that is earlier.

    A `background` call leaves a thread to those that somebody waits for.
    """

    ref: str | None
    codec: Codec
    body: bytes
    deadline: float
    background: bool = False
    own: Deadline | None = None


class Reply(NamedTuple):
    encoded: Encoded
    record: VersionRecord
    cache: CacheStatus
    run_ms: float
    request_id: str | None


class Predictor:
    """Safe for any number of concurrent calls on one event loop."""

    def __init__(
        self,
        routes: Routes,
        cache: PredictionCache,
        runner: Runner,
        observer: Observer,
        limits: TimeLimits,
    ) -> None:
        self._routes = routes
        self._cache = cache
        self._runner = runner
        self._observer = observer
        self._limits = limits

    async def predict(self, call: Call) -> Reply:
        record = self._route(call.ref)
        with self._observer.watching(record.id, record.name, record.version) as watch:
            asked = await _decode(call, record)
            run = self._prepare(call, record, asked)
            watch.decoded(run.rows)
            found = self._cache.get_or_run(
                run.cache_key(), run, look_up=not asked.skip_cache
            )
            own = earliest(call.own, deadline_after(asked.timeout_s))
            outputs, status = await self._limits.within(own, found)
            watch.ran(status, run.timing)
            answer = run.answer(outputs, status)
            encoded = await run_sized(weigh(outputs), call.codec.encode, answer)
        return Reply(encoded, record, status, run.took_ms, asked.request_id)

    def predict_now(self, call: Call) -> Reply | None:
        """What `predict` gives where nothing has to be waited for: out of memory, or
        by a run known to be cheap. Else None, and nothing was counted."""
        record = self._route(call.ref)
        watch = self._observer.watching(record.id, record.name, record.version)
        asked = call.codec.decode(call.body, record.target)
        run = self._prepare(call, record, asked)
        watch.decoded(run.rows)
        found = self._cache.get_or_run_now(
            run.cache_key(), run, look_up=not asked.skip_cache
        )
        if found is None:
            return None
        outputs, status = found
        watch.ran(status, run.timing)
        encoded = call.codec.encode(run.answer(outputs, status))
        watch.end()
        return Reply(encoded, record, status, run.took_ms, asked.request_id)

    async def check(self, call: Call) -> VersionRecord:
        """Raises what `predict` would raise before running anything."""
        record = self._route(call.ref)
        self._prepare(call, record, await _decode(call, record))
        return record

    def _prepare(self, call: Call, record: VersionRecord, asked: Asked) -> Run:
        return self._runner.prepare(
            record, asked, call.deadline, background=call.background
        )

    def _route(self, ref: str | None) -> VersionRecord:
        return self._routes.default() if ref is None else self._routes.resolve(ref)


async def _decode(call: Call, record: VersionRecord) -> Asked:
    return await run_sized(len(call.body), call.codec.decode, call.body, record.target)
