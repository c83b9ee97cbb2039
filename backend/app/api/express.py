"""Predictions that need no waiting, answered past the web framework.

Routing, a task and the framework's layers cost more than a small model's prediction.
What is in any way special, or goes wrong, is left to the endpoints: they answer the same
request from the start, so nothing is said twice, neither here nor there.
"""

import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from app.api.compression import only_coding
from app.api.deadline import HEADER
from app.api.middleware import Answered, RequestLog, usable_id
from app.auth.gate import API_KEY, AUTHORIZATION
from app.auth.principal import EVERYBODY, Principal
from app.codecs.base import Codec
from app.codecs.oip_binary import OipBinary
from app.codecs.oip_json import OipJSON
from app.codecs.predict_json import PredictJSON
from app.codecs.score_json import ScoreBatchJSON, ScoreJSON
from app.errors import MLForgeError
from app.kit.ids import new_id
from app.serving.predict import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.runtime import Runtime

logger = structlog.get_logger(__name__)

# The key of the application's state that holds the one Express.
EXPRESS: Final = "express"
# Of a larger body, the time to read it counts; and the endpoints may have to read again.
LARGEST_BODY: Final = 16 * 1024

_PREDICT: Final = re.compile(rb"/api/v1/models/([^/?%]+)/predict")
_INFER: Final = re.compile(rb"/v2/models/([^/?%]+)(?:/versions/([^/?%]+))?/infer")
_SCORES: Final[dict[bytes, Codec]] = {
    b"/api/v1/score": ScoreJSON(),
    b"/api/v1/score/batch": ScoreBatchJSON(),
}
_OIP_JSON: Final = OipJSON()
_PREDICT_JSON: Final = PredictJSON()
_HEADER_LENGTH: Final = b"inference-header-content-length"
_LONGEST_LENGTH: Final = 9
# Headers that change what is done with the body, and the values that leave it at JSON.
_JSON_ONLY: Final = {
    b"content-type": {b"application/json", b"application/json; charset=utf-8"},
    b"accept": {b"*/*", b"application/json", b"application/json, */*"},
}
# Headers that only the endpoints read.
_LEFT_ALONE: Final = frozenset({b"content-encoding", HEADER})
_KEYS: Final = frozenset({AUTHORIZATION, API_KEY})
_MOST_DOORS: Final = 4096


class Door(NamedTuple):
    """What a URL asks for."""

    route: str
    path: str
    codec: Codec
    is_oip: bool
    ref: str | None
    version: str | None = None


class Express:
    """Belongs to one event loop."""

    def __init__(self, runtime: "Runtime", requests: RequestLog) -> None:
        self._runtime = runtime
        self._gate = runtime.identity.gate
        self._requests = requests
        self._base = runtime.settings.base_path.encode()
        self._doors: dict[bytes, Door | None] = {}

    def answer(
        self, url: bytes, headers: "Sequence[tuple[bytes, bytes]]", body: bytes
    ) -> tuple[bytes, bytes] | None:
        """The head's lines and the body of a 200; None for the endpoints to answer."""
        door = self._door(url)
        if door is None or self._runtime.stopping:
            return None
        asked = _read(door, headers)
        if asked is None:
            return None
        caller = self._admitted(door, asked)
        if caller is None:
            return None
        started = time.perf_counter()
        try:
            reply = self._predict(door, asked.codec, body)
        except MLForgeError:
            return None
        except Exception:  # The edge: the endpoints answer, and say what is wrong.
            logger.exception("express_failed", path=door.path)
            return None
        if reply is None:
            return None
        if caller.bucket is not None:
            caller.bucket.take()
        request_id = reply.request_id or asked.request_id or new_id()
        took_s = time.perf_counter() - started
        more = {"model": reply.record.id, "cache": reply.cache.value}
        self._requests.note(
            Answered(door.route, "POST", door.path, 200, took_s, request_id, more)
        )
        return _head(reply, request_id), reply.encoded.body

    def _admitted(self, door: Door, asked: "_Asked") -> Principal | None:
        """The caller, who may; if not, the endpoints say why."""
        if not self._gate.is_on:
            return EVERYBODY
        caller = self._gate.at_once(asked.authorization, asked.api_key)
        if caller is None or not caller.may_predict:
            return None
        if caller.bucket is not None and caller.bucket.wait_s() > 0:
            return None
        may = caller.pattern is None or self._is_seen(door, caller)
        return caller if may else None

    def _is_seen(self, door: Door, caller: Principal) -> bool:
        routes, ref = self._runtime.routes, door.ref
        try:
            if ref is None:
                return caller.sees(routes.default().name)
            return caller.sees(routes.resolve_version(ref, door.version).name)
        except MLForgeError:
            return False

    def _predict(self, door: Door, codec: Codec, body: bytes) -> Reply | None:
        runtime, ref = self._runtime, door.ref
        if door.version is not None:
            assert ref is not None
            ref = runtime.routes.resolve_version(ref, door.version).id
        deadline = time.monotonic() + runtime.inference_timeout_s
        return runtime.predictor.predict_now(Call(ref, codec, body, deadline))

    def _door(self, url: bytes) -> Door | None:
        try:
            return self._doors[url]
        except KeyError:
            pass
        if len(self._doors) >= _MOST_DOORS:
            self._doors.clear()
        door = self._doors[url] = self._open(url)
        return door

    def _open(self, url: bytes) -> Door | None:
        """What `url` asks for, with or without the base before it."""
        if not self._base:
            return _door_of(url)
        door = _door_of(url.removeprefix(self._base))
        # The log names the whole path, whether a proxy strips the base or not.
        return door and door._replace(path=self._base.decode() + door.path)


def _door_of(url: bytes) -> Door | None:
    """None for every other call, and for paths that must be read with care."""
    if not url.isascii():
        return None
    path = url.decode()
    if url in _SCORES:
        return Door(path, path, _SCORES[url], is_oip=False, ref=None)
    if found := _PREDICT.fullmatch(url):
        route, ref = "/api/v1/models/{ref}/predict", found[1].decode()
        return Door(route, path, _PREDICT_JSON, is_oip=False, ref=ref)
    if found := _INFER.fullmatch(url):
        name, version = found[1].decode(), (found[2] or b"").decode() or None
        middle = "/versions/{version}" if version else ""
        route = f"/v2/models/{{name}}{middle}/infer"
        return Door(route, path, _OIP_JSON, is_oip=True, ref=name, version=version)
    return None


class _Asked(NamedTuple):
    codec: Codec
    request_id: str | None
    authorization: bytes | None
    api_key: bytes | None


def _read(door: Door, headers: "Sequence[tuple[bytes, bytes]]") -> _Asked | None:
    """What reads the body; None where a header asks for more than that."""
    codec, request_id = door.codec, None
    keys: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in _LOOKED_AT:
            continue
        if name in _LEFT_ALONE:
            return None
        if name == b"x-request-id":
            request_id = request_id or usable_id(value)
        elif name in _KEYS:
            if name in keys:
                return None
            keys[name] = value
        elif name in _JSON_ONLY:
            if not door.is_oip and value not in _JSON_ONLY[name]:
                return None
        elif door.is_oip and name == _HEADER_LENGTH:
            if not value.isdigit() or len(value) > _LONGEST_LENGTH:
                return None
            codec = OipBinary(int(value))
        elif door.is_oip and only_coding(value.decode("latin-1")) is not None:
            return None
    return _Asked(codec, request_id, keys.get(AUTHORIZATION), keys.get(API_KEY))


_LOOKED_AT: Final = frozenset(
    {
        *_JSON_ONLY,
        b"accept-encoding",
        *_LEFT_ALONE,
        *_KEYS,
        b"x-request-id",
        _HEADER_LENGTH,
    }
)


def _head(reply: Reply, request_id: str) -> bytes:
    encoded = reply.encoded
    more = "".join(f"{n.decode()}: {v.decode()}\r\n" for n, v in encoded.headers)
    return (
        f"{more}content-type: {encoded.media_type}\r\n"
        f"content-length: {len(encoded.body)}\r\n"
        f"x-cache: {reply.cache.value}\r\n"
        f"server-timing: run;dur={reply.run_ms}\r\n"
        f"x-request-id: {request_id}\r\n\r\n"
    ).encode()
