"""Inference over the Open Inference Protocol: a plain ASGI endpoint, since it is the
hot path.

The content type decides nothing: clients send any, or none. Bytes follow the JSON
where Inference-Header-Content-Length is given.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Receive, Scope, Send

from app.api.access import DeclaredRoute, needs
from app.api.body import read_body
from app.api.compression import deflate, inflate, only_coding
from app.api.deadline import deadlines
from app.api.hangup import unless_hung_up
from app.api.oip_docs import TAGS, oip_errors
from app.codecs.base import Codec
from app.codecs.oip_binary import OipBinary
from app.codecs.oip_json import OipJSON
from app.enums import Scope as KeyScope
from app.errors import InvalidRequest, ShuttingDown
from app.schemas.oip import InferRequest, InferResponse
from app.services.traffic import MISSED
from app.serving.predict import Call, Reply

if TYPE_CHECKING:
    from app.runtime import Runtime

_JSON: Final = OipJSON()
_HEADER_LENGTH: Final = b"inference-header-content-length"
_NAMED: Final = frozenset({_HEADER_LENGTH, b"content-encoding", b"accept-encoding"})
_MOST_DIGITS: Final = 18


class InferEndpoint:
    """Reads a body, has it run, sends the reply."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime: Runtime = scope["app"].state.runtime
        if runtime.stopping:
            raise ShuttingDown("This server is shutting down; ask another or retry.")
        headers = {name: value for name, value in scope["headers"] if name in _NAMED}
        body = await read_body(scope, receive, runtime.max_body_bytes)
        coding = _text(headers.get(b"content-encoding"))
        if coding not in ("", "identity"):
            body = await inflate(body, coding, runtime.max_body_bytes)
        codec = _codec(headers)
        try:
            reply = await _predict(scope, receive, codec, body)
        except MISSED:
            await runtime.traffic.catch_up_on_miss()
            reply = await _predict(scope, receive, codec, body)
        await _send(
            scope, send, reply, only_coding(_text(headers.get(b"accept-encoding")))
        )


class InferRoute(DeclaredRoute):
    """Documented by the signature of a function that is never called, answered by
    an endpoint."""

    def __init__(
        self, path: str, documented_by: Callable[..., Any], **docs: Any
    ) -> None:
        super().__init__(path, documented_by, methods=["POST"], **docs)
        self.app = InferEndpoint()


async def _predict(scope: Scope, receive: Receive, codec: Codec, body: bytes) -> Reply:
    runtime: Runtime = scope["app"].state.runtime
    deadline, own = deadlines(scope, runtime.inference_timeout_s)
    call = Call(_ref(scope, runtime), codec, body, deadline, own=own)
    return await unless_hung_up(receive, runtime.predictor.predict(call))


def _ref(scope: Scope, runtime: "Runtime") -> str:
    parameters = scope["path_params"]
    name: str = parameters["name"]
    version = parameters.get("version")
    if version is None:
        return name
    return runtime.routes.resolve_version(name, version).id


def _codec(headers: dict[bytes, bytes]) -> Codec:
    length = headers.get(_HEADER_LENGTH)
    if length is None:
        return _JSON
    if not length.isdigit() or len(length) > _MOST_DIGITS:
        raise InvalidRequest(
            f"Inference-Header-Content-Length must be a whole number of bytes, got "
            f"{_text(length)[:40]!r}."
        )
    return OipBinary(int(length))


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1").strip().lower()


async def _send(scope: Scope, send: Send, reply: Reply, coding: str | None) -> None:
    state = scope["state"]
    if reply.request_id is not None:
        state["request_id"] = reply.request_id
    state["log"] = {"model": reply.record.id, "cache": reply.cache.value}
    encoded = reply.encoded
    headers = [
        *encoded.headers,
        (b"content-type", encoded.media_type.encode()),
        (b"x-cache", reply.cache.value.encode()),
        (b"server-timing", f"run;dur={reply.run_ms}".encode()),
    ]
    body = encoded.body
    if coding is not None:
        body = await deflate(body, coding)
        headers.append((b"content-encoding", coding.encode()))
        headers.append((b"vary", b"accept-encoding"))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@needs(KeyScope.PREDICT)
def infer(name: str, body: InferRequest) -> None:
    """Runs the version that the bare name stands for.

    Tensors come and go as JSON, or as bytes by the binary tensor extension: then
    `Inference-Header-Content-Length` says how many bytes of the body are JSON, and 0
    says that all of it is the model's only input.
    """


@needs(KeyScope.PREDICT)
def infer_version(name: str, version: str, body: InferRequest) -> None:
    """As above, for one version; an alias may stand in its place."""


def infer_routes() -> list[InferRoute]:
    docs: dict[str, Any] = {
        "tags": TAGS,
        "response_model": InferResponse,
        "responses": oip_errors(400, 404, 408, 413, 415, 503, 504),
    }
    path = "/v2/models/{name}"
    return [
        InferRoute(f"{path}/infer", infer, summary="Infer", **docs),
        InferRoute(
            f"{path}/versions/{{version}}/infer",
            infer_version,
            summary="Infer with a version or an alias",
            **docs,
        ),
    ]
