"""Which addresses may be told that a job has ended, and how the telling is signed."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from app.errors import InvalidField

_PORTS: Final = {"https": 443, "http": 80}
_MOST_LETTERS: Final = 2000
_SHOWN: Final = 200
_PURPOSE: Final = b"mlforge job webhook v1"


@dataclass(frozen=True, slots=True)
class _Place:
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class WebhookHosts:
    """The hosts of the setting: `name`, `name:port`, or `http://name` in the clear."""

    places: frozenset[_Place] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError on what is no host."""
        words = [word.strip() for word in text.split(",")]
        return cls(frozenset(_listed(word) for word in words if word))

    def check(self, url: str) -> str:
        """`url` where it may be called; raises InvalidField."""
        if not self.places:
            raise InvalidField(
                "webhook_url: this server calls no webhooks; its operator lists the "
                "hosts that it may call in JOB_WEBHOOK_HOSTS"
            )
        if len(url) > _MOST_LETTERS or not url.isascii() or not url.isprintable():
            raise InvalidField(
                f"webhook_url: wanted are at most {_MOST_LETTERS} printable ASCII letters"
            )
        try:
            place = _place_of(urlsplit(url.strip()))
        except ValueError:
            raise InvalidField(
                f"webhook_url: {url[:_SHOWN]!r} is no address such as "
                "https://hooks.example.com/done, without a user name and a fragment"
            ) from None
        if place not in self.places:
            raise InvalidField(
                f"webhook_url: {place.scheme}://{place.host}:{place.port} is not in "
                "JOB_WEBHOOK_HOSTS, where the server's operator lists the hosts that "
                "may be called"
            )
        return url.strip()


def webhook_key(secret: str) -> str:
    """What receivers check signatures with; it does not tell the secret."""
    return hmac.new(secret.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def signature(key: str, body: bytes, *, at: int) -> str:
    """The header's value: when, and the HMAC of that, a dot and the body."""
    signed = hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


def _listed(word: str) -> _Place:
    place = _place_of(urlsplit(word if "://" in word else f"https://{word}"))
    path = urlsplit(word if "://" in word else f"https://{word}").path
    if path not in {"", "/"}:
        raise ValueError(f"{word!r} is no host: leave {path!r} away")
    return place


def _place_of(url: SplitResult) -> _Place:
    host = (url.hostname or "").rstrip(".")
    is_plain = url.username is None and url.password is None and not url.fragment
    if url.scheme not in _PORTS or not host or not is_plain:
        raise ValueError(f"{url.geturl()!r} is no host such as hooks.example.com")
    return _Place(url.scheme, host, url.port or _PORTS[url.scheme])
