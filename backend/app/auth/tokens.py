"""The form of an API key: `mlf_<id>_<secret><checksum>`, in base62.

The id names the key in lists and logs. The secret has 256 bits, so that a fast hash
keeps it. The checksum tells a mistyped key from an unknown one without asking anybody.
"""

import re
import secrets
import string
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from zlib import crc32

PREFIX: Final = "mlf_"
ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 43  # 62 ** 43 > 2 ** 256
CHECK_LENGTH: Final = 6  # 62 ** 6 > 2 ** 32
TOKEN_LENGTH: Final = len(PREFIX) + ID_LENGTH + 1 + SECRET_LENGTH + CHECK_LENGTH

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_TOKEN: Final = re.compile(
    rb"mlf_([0-9A-Za-z]{%d})_[0-9A-Za-z]{%d}"
    % (ID_LENGTH, SECRET_LENGTH + CHECK_LENGTH)
)


@dataclass(frozen=True, slots=True)
class NewToken:
    """`token` is the whole key, to be shown once; `digest` is what may be kept."""

    id: str
    token: str
    digest: str


def new_token() -> NewToken:
    key_id = _random(ID_LENGTH)
    body = f"{PREFIX}{key_id}_{_random(SECRET_LENGTH)}"
    token = body + checksum(body.encode()).decode()
    return NewToken(key_id, token, digest_of(token.encode()))


def id_of(token: bytes) -> str | None:
    """The id in a token; None where it is mistyped, cut or no token at all."""
    found = _TOKEN.fullmatch(token)
    if found is None or checksum(token[:-CHECK_LENGTH]) != token[-CHECK_LENGTH:]:
        return None
    return found[1].decode()


def digest_of(token: bytes) -> str:
    return sha256(token).hexdigest()


def holds_token(data: bytes) -> bool:
    """Whether something in `data` has the form of a key, mistyped or not."""
    return _TOKEN.search(data) is not None


def checksum(body: bytes) -> bytes:
    number, digits = crc32(body), ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits.encode()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
