"""Predict's types of bodies and answers: chosen by headers, read beside the loop."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.types import Scope

from app.codecs.base import Answer, Asked, Codec, Encoded, Target
from app.codecs.file_options import FileOptions
from app.codecs.media_types import (
    ENCODERS,
    JSON,
    answer_type_of,
    body_type_of,
    codec_for,
)
from app.errors import InvalidRequest, MLForgeError
from app.serving.routes import Routes

# A smaller one holds up the other requests for a millisecond or two at most.
READ_AHEAD_BYTES: Final = 16 << 10
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


def choose_codec(scope: Scope, limit_bytes: int) -> Codec | None:
    """None for JSON both ways.

    Raises UnsupportedMediaType, NotAcceptable, and InvalidRequest for the query.
    """
    content_type = ""
    accepts = []
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"accept":
            accepts.append(value.decode("latin-1"))
    body_type = body_type_of(content_type)
    answer_type = answer_type_of(",".join(accepts))
    if body_type == answer_type == JSON:
        return None
    return codec_for(body_type, answer_type, _options(scope, limit_bytes))


async def read_ahead(codec: Codec, body: bytes, ref: str, routes: Routes) -> Codec:
    """A codec that has decoded a large body already, in a thread."""
    if len(body) <= READ_AHEAD_BYTES:
        return codec
    target = routes.resolve(ref).target
    outcome = await asyncio.to_thread(_outcome, codec, body, target)
    return _Ahead(codec, target, outcome)


@dataclass(frozen=True, slots=True)
class _Ahead:
    codec: Codec
    target: Target
    outcome: Asked | MLForgeError

    def decode(self, body: bytes, target: Target) -> Asked:
        if target is not self.target:
            # Meanwhile the reference has come to mean another version.
            return self.codec.decode(body, target)
        if isinstance(self.outcome, MLForgeError):
            raise self.outcome
        return self.outcome

    def encode(self, answer: Answer) -> Encoded:
        return self.codec.encode(answer)


def _outcome(codec: Codec, body: bytes, target: Target) -> Asked | MLForgeError:
    try:
        return codec.decode(body, target)
    except MLForgeError as error:
        return error


def _options(scope: Scope, limit_bytes: int) -> FileOptions:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    outputs = [name for text in query.get("outputs", ()) for name in text.split(",")]
    skip_cache = query.get("skip_cache", ["false"])[-1]
    if skip_cache.lower() not in _TRUTHS:
        raise InvalidRequest(
            f"skip_cache must be true or false, got {skip_cache[:40]}."
        )
    return FileOptions(limit_bytes, tuple(outputs) or None, _TRUTHS[skip_cache.lower()])


_TEXTS: Final = {
    "application/x-ndjson": '{"age": 41, "city": "Bern"}\n{"age": 35, "city": "Oslo"}\n',
    "text/csv": "age,city\n41,Bern\n35,Oslo\n",
}


def _contents() -> dict[str, Any]:
    """Every type but JSON, which has a schema of its own."""
    types = [media_type for media_type in ENCODERS if media_type != JSON]
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {
        media_type: {"schema": {"type": "string"}, "example": _TEXTS[media_type]}
        if media_type in _TEXTS
        else {"schema": binary}
        for media_type in types
    }


ANSWER_FORMATS: Final[dict[str, Any]] = {
    "description": "The prediction, in the type that Accept likes best.",
    "content": _contents(),
}
REQUEST_FORMATS: Final[dict[str, Any]] = {
    "requestBody": {"content": _contents()},
    "parameters": [
        {
            "name": "outputs",
            "in": "query",
            "description": "The outputs wanted, separated by commas; all.",
            "schema": {"type": "string"},
        },
        {
            "name": "skip_cache",
            "in": "query",
            "description": "Run even if the answer is cached.",
            "schema": {"type": "boolean", "default": False},
        },
    ],
}
