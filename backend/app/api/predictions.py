"""Predict and score: plain ASGI endpoints, since they are the hot path.

FastAPI knows their documentation; the request goes from the router straight to the
predictor, without a typed body or a chain of dependencies.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from app.api.access import DeclaredRoute, needs
from app.api.body import read_body
from app.api.deadline import deadlines
from app.api.formats import ANSWER_FORMATS, REQUEST_FORMATS, choose_codec, read_ahead
from app.api.hangup import unless_hung_up
from app.api.openapi import error_responses
from app.codecs.base import Codec
from app.codecs.predict_json import PredictJSON
from app.codecs.score_json import ScoreBatchJSON, ScoreJSON
from app.enums import Scope as KeyScope
from app.errors import NotAcceptable, ShuttingDown, UnsupportedMediaType
from app.schemas.predictions import (
    PredictRequest,
    PredictResponse,
    ScoreBatchRequest,
    ScoreBatchResponse,
    ScoreRequest,
    ScoreResponse,
)
from app.services.traffic import MISSED
from app.serving.predict import Call, Reply

if TYPE_CHECKING:
    from app.auth.principal import Principal
    from app.runtime import Runtime

JSON = "application/json"
ACCEPTED = frozenset({JSON, "application/*", "*/*"})


class PlainEndpoint:
    """Reads a body, has it predicted, sends the reply."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime: Runtime = scope["app"].state.runtime
        if runtime.stopping:
            raise ShuttingDown("This server is shutting down; ask another or retry.")
        codec = self._codec_for(scope, runtime.max_body_bytes)
        body = await read_body(scope, receive, runtime.max_body_bytes)
        try:
            reply = await self._predict(scope, receive, codec, body)
        except MISSED:
            await runtime.traffic.catch_up_on_miss()
            reply = await self._predict(scope, receive, codec, body)
        await _send(scope, send, reply)

    async def _predict(
        self, scope: Scope, receive: Receive, codec: Codec, body: bytes
    ) -> Reply:
        runtime: Runtime = scope["app"].state.runtime
        ref = scope["path_params"].get("ref")
        caller: Principal = scope["state"]["caller"]
        if ref is None and caller.pattern is not None:
            ref = runtime.identity.sight.default(caller).id
        if codec is not self._codec:
            codec = await read_ahead(codec, body, ref, runtime.routes)
        deadline, own = deadlines(scope, runtime.inference_timeout_s)
        call = Call(ref, codec, body, deadline, own=own)
        return await unless_hung_up(receive, runtime.predictor.predict(call))

    def _codec_for(self, scope: Scope, limit_bytes: int) -> Codec:
        _negotiate(scope)
        return self._codec


class PredictEndpoint(PlainEndpoint):
    """Takes and gives each of the formats; JSON both ways unless the headers say."""

    def _codec_for(self, scope: Scope, limit_bytes: int) -> Codec:
        return choose_codec(scope, limit_bytes) or self._codec


class PlainRoute(DeclaredRoute):
    """Documented by the signature of a function that is never called, answered by
    an endpoint."""

    def __init__(
        self,
        path: str,
        documented_by: Callable[..., Any],
        endpoint: PlainEndpoint,
        **docs: Any,
    ) -> None:
        super().__init__(path, documented_by, methods=["POST"], **docs)
        self.app = endpoint


def _negotiate(scope: Scope) -> None:
    """Refuses what is not JSON; a body without a type is taken for JSON."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            _check_type(value)
        elif name == b"accept":
            _check_accept(value)


def _check_type(value: bytes) -> None:
    given = value.partition(b";")[0].strip().lower().decode("latin-1")
    if given not in {JSON, ""}:
        raise UnsupportedMediaType(
            f"Content-Type {given[:100]} is not taken here; send {JSON} "
            f"(curl: -H 'Content-Type: {JSON}')."
        )


def _check_accept(value: bytes) -> None:
    kinds = {
        part.partition(";")[0].strip().lower()
        for part in value.decode("latin-1").split(",")
    }
    if kinds.isdisjoint(ACCEPTED):
        raise NotAcceptable(f"The answer comes as {JSON}; accept that or */*.")


async def _send(scope: Scope, send: Send, reply: Reply) -> None:
    state = scope["state"]
    if reply.request_id is not None:
        state["request_id"] = reply.request_id
    state["log"] = {"model": reply.record.id, "cache": reply.cache.value}
    encoded = reply.encoded
    headers = [
        *encoded.headers,
        (b"content-type", encoded.media_type.encode()),
        (b"content-length", str(len(encoded.body)).encode()),
        (b"x-cache", reply.cache.value.encode()),
        (b"server-timing", f"run;dur={reply.run_ms}".encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": encoded.body})


@needs(KeyScope.PREDICT)
def predict(ref: str, body: PredictRequest) -> None:
    """Runs a model on `input_data`, on one row of `features`, or on many `rows`.

    Rows also come as NDJSON, CSV, Arrow or Parquet, tensors as npz, by Content-Type,
    and the answer in each of these by Accept. The query's parameters are for bodies
    that are not JSON.

    `{ref}` is a model's UUID, `name`, `name:version` or `name@alias`. The header
    `X-Cache` says whether the answer came from the cache.
    """


@needs(KeyScope.PREDICT)
def score(body: ScoreRequest) -> None:
    """Scores one row of features on the default model.

    The score is the second class's probability where there are two classes, the
    top class's where there are more, else the first number of the first numeric
    output; `model_metadata.score` of the model overrides it.
    """


@needs(KeyScope.PREDICT)
def score_batch(body: ScoreBatchRequest) -> None:
    """Scores many rows on the default model: one key, any name, holding a list."""


def plain_routes() -> list[PlainRoute]:
    errors = error_responses(400, 404, 406, 409, 413, 415, 503, 504)
    shared: dict[str, Any] = {"tags": ["predictions"], "responses": errors}
    return [
        PlainRoute(
            "/api/v1/models/{ref}/predict",
            predict,
            PredictEndpoint(PredictJSON()),
            response_model=PredictResponse,
            summary="Predict",
            openapi_extra=REQUEST_FORMATS,
            **shared | {"responses": errors | {200: ANSWER_FORMATS}},
        ),
        PlainRoute(
            "/api/v1/score",
            score,
            PlainEndpoint(ScoreJSON()),
            response_model=ScoreResponse,
            summary="Score one row on the default model",
            **shared,
        ),
        PlainRoute(
            "/api/v1/score/batch",
            score_batch,
            PlainEndpoint(ScoreBatchJSON()),
            response_model=ScoreBatchResponse,
            summary="Score many rows on the default model",
            **shared,
        ),
    ]
