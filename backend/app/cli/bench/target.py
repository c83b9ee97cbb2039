"""The server and the model that are measured, and whether they can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import grpc
import httpx

from app.cli.bench.requests import GRPC_PATH, Place
from app.kit.hosts import is_loopback

_TIMEOUT_S: Final = 10.0


class CannotMeasure(Exception):
    """What is wrong, and what to do, in a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    base_path: str = ""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Model:
    """What the server says of the model: its inputs, and which software serves it."""

    name: str
    version: str | None
    inputs: tuple[Mapping[str, Any], ...]
    server: str


def parse_url(url: str) -> Address:
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http":
        raise CannotMeasure(
            f"{url}: bench speaks plain http; measure the server itself, not its TLS."
        )
    try:
        port = parts.port or 80
    except ValueError:
        raise CannotMeasure(f"{url}: the port is no number up to 65535.") from None
    if not parts.hostname:
        raise CannotMeasure(f"{url} names no host, as http://127.0.0.1:8000 does.")
    return Address(parts.hostname, port, parts.path.rstrip("/"))


def describe(
    address: Address, name: str, headers: tuple[tuple[str, str], ...]
) -> Model:
    """The model's metadata, or why there is none."""
    base = f"http://{address.authority}{address.base_path}"
    with httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_S) as client:
        server = _get(client, "/v2", "serve the Open Inference Protocol")
        path = f"/v2/models/{quote(name, safe='')}"
        answer = _get(client, path, f"have a model named {name!r}")
        _get(client, f"{path}/ready", f"have {name!r} ready")
    inputs = answer.get("inputs")
    if not inputs:
        raise CannotMeasure(f"The server says nothing of the inputs of {name!r}.")
    versions = answer.get("versions") or [None]
    software = f"{server.get('name', '?')} {server.get('version', '')}".strip()
    return Model(name, versions[-1], tuple(inputs), software)


def _get(client: httpx.Client, path: str, ability: str) -> dict[str, Any]:
    try:
        answer = client.get(path)
    except httpx.TransportError as error:
        raise CannotMeasure(
            f"No server answers at {client.base_url} ({error}): start it, or give its "
            "address with --url."
        ) from None
    if answer.status_code != 200:
        raise CannotMeasure(
            f"The server at {client.base_url} does not {ability}: GET {path} answered "
            f"{answer.status_code} {_said(answer)}".rstrip()
        )
    try:
        document = answer.json()
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}


def _said(answer: httpx.Response) -> str:
    try:
        document = answer.json()
    except ValueError:
        return answer.text[:200]
    if not isinstance(document, dict):
        return ""
    return str(document.get("error") or document.get("detail") or "")[:300]


def try_http(address: Address, request: bytes) -> None:
    """Sends one prepared request; raises with what the server said if it fails."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    path = line.split(" ")[1]
    url = f"http://{address.authority}{path}"
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=60)
    except httpx.TransportError as error:
        raise CannotMeasure(
            f"POST {path} failed: {error or type(error).__name__}."
        ) from None
    if answer.status_code != 200:
        raise CannotMeasure(
            f"POST {path} answered {answer.status_code} {_said(answer)}"
        )


def try_grpc(address: Address, place: Place, request: bytes) -> None:
    """The same for a call: by gRPC's own client, whose words are exact."""
    with grpc.insecure_channel(address.authority) as channel:
        call = channel.unary_unary(GRPC_PATH)
        try:
            call(request[5:], timeout=60, metadata=_metadata(place))
        except grpc.RpcError as error:
            raise CannotMeasure(
                f"The gRPC call to {address.authority} failed: "
                f"{error.code().name}: {error.details()}"
            ) from None


def _metadata(place: Place) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in place.headers]
