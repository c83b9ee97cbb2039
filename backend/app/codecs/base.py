"""What every wire form turns its bytes into, and what it turns into bytes.

What is made anew for each request is a named tuple: a frozen dataclass takes three
times as long to make.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from app.engine.signature import Signature
from app.engine.values import Value


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """Where a model's score stands: an index into one row of an output."""

    output: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class NullPolicy:
    """What stands for a null: the feature's default, else NaN where `nan` is set and
    the feature is a float. With neither, a null is an error."""

    nan: bool = False
    defaults: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """The version a call is for, as far as a wire form needs to know it."""

    version_id: str
    name: str
    version: str
    signature: Signature
    feature_names: tuple[str, ...] | None = None
    score: ScoreRule | None = None
    # The classes of outputs that are maps, where validation saw them.
    labels: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    nulls: NullPolicy | None = None


class Asked(NamedTuple):
    """What a body asks for, names, dtypes and shapes already checked."""

    inputs: Mapping[str, Value]
    outputs: tuple[str, ...] | None = None
    skip_cache: bool = False
    request_id: str | None = None
    rows: int | None = None
    ignored: tuple[str, ...] = ()
    # Seconds the caller gives it, where that is less than the server's limit.
    timeout_s: float | None = None
    # What a wire form keeps of the body to write its answer by.
    kept: object = None


class Answer(NamedTuple):
    """What a run gave. `outputs` is shared with the cache: read, never write."""

    target: Target
    asked: Asked
    outputs: Mapping[str, Value]
    inference_time_ms: float
    cached: bool


class Encoded(NamedTuple):
    """An answer's bytes, and the headers that say how to read them."""

    body: bytes
    media_type: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Decoder(Protocol):
    """Reads one wire form; raises a `BadRequest` that names the field, what came
    and what is wanted."""

    def decode(self, body: bytes, target: Target) -> Asked: ...


class Encoder(Protocol):
    """Writes one wire form."""

    def encode(self, answer: Answer) -> Encoded: ...


class Codec(Decoder, Encoder, Protocol):
    """Both at once, for forms whose answer depends on what came."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """Reads one form and writes another."""

    decoder: Decoder
    encoder: Encoder

    def decode(self, body: bytes, target: Target) -> Asked:
        return self.decoder.decode(body, target)

    def encode(self, answer: Answer) -> Encoded:
        return self.encoder.encode(answer)
