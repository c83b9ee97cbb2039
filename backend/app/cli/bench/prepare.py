"""From a model's description to requests that its server answers."""

import random
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.cli.bench.requests import Place, Protocol, Requests, make_requests
from app.cli.bench.run import Door
from app.cli.bench.target import (
    Address,
    CannotMeasure,
    Model,
    parse_url,
    try_grpc,
    try_http,
)
from app.cli.bench.tensors import Sizes, make_inputs

_TEMPLATES: Final = 16
_LARGE_TEMPLATES: Final = 2
_LARGE_BYTES: Final = 200_000
_GRPC_PORT: Final = 8001


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to send, and where to."""

    address: Address
    grpc: str
    headers: tuple[tuple[str, str], ...]
    sizes: Sizes
    text: str | None
    cached: bool

    def door(self, protocol: Protocol) -> Door:
        if protocol is not Protocol.GRPC:
            return Door(protocol, self.address, self.headers)
        given = self.grpc or Address(self.address.host, _GRPC_PORT).authority
        return Door(protocol, parse_url(given), self.headers)


def protocols_of(text: str) -> tuple[Protocol, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in set(Protocol)]
    if unknown or not words:
        raise CannotMeasure(
            f"--protocols: {text!r} is no list of {', '.join(Protocol)}."
        )
    return tuple(map(Protocol, words))


def prepare(protocol: Protocol, model: Model, wanted: Wanted) -> tuple[Door, Requests]:
    """Requests of which the first was answered well."""
    door = wanted.door(protocol)
    place = Place(
        door.address.authority, wanted.address.base_path, model.name, wanted.headers
    )
    requests = _written(protocol, place, model, wanted)
    first = requests.write(0)
    if protocol is Protocol.GRPC:
        try_grpc(door.address, place, first)
    else:
        try_http(door.address, first)
    return door, requests


def _written(
    protocol: Protocol, place: Place, model: Model, wanted: Wanted
) -> Requests:
    # Other numbers each time: a cache may still know those of the last run.
    chance = random.SystemRandom()
    make = partial(make_inputs, model.inputs, wanted.sizes, text=wanted.text)
    made = [make(seed=chance.getrandbits(32)) for _ in range(_LARGE_TEMPLATES)]
    size = sum(tensor.array.nbytes for tensor in made[0].tensors)
    while size <= _LARGE_BYTES and len(made) < _TEMPLATES:
        made.append(make(seed=chance.getrandbits(32)))
    return make_requests(protocol, place, made, cached=wanted.cached)
