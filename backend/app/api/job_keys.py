"""`Idempotency-Key`: what makes a request that is sent twice one job."""

import hashlib
from typing import Final

import orjson
from starlette.requests import Request

from app.api.job_upload import ReceivedFile
from app.auth.principal import Principal
from app.errors import InvalidField
from app.services.jobs import JobRequest

_HEADER: Final = "Idempotency-Key"
_MOST_LETTERS: Final = 255


def idempotency_key(request: Request, caller: Principal) -> str | None:
    """As it is stored: apart for each API key, so that nobody learns of the jobs of
    others. Raises InvalidField on a key that can't be."""
    given = request.headers.getlist(_HEADER)
    if not given:
        return None
    key = given[0].strip()
    is_readable = key.isascii() and key.isprintable()
    if len(given) > 1 or not key or len(key) > _MOST_LETTERS or not is_readable:
        raise InvalidField(
            f"{_HEADER}: wanted is one key of 1 to {_MOST_LETTERS} printable ASCII "
            "letters, such as a UUID, made anew for every job"
        )
    return key if caller.key_id is None else _of_caller(caller.key_id, key)


def _of_caller(key_id: str, key: str) -> str:
    """No caller can spell it, as a tab is not printable; and it fits the column."""
    return f"{key_id}\t{hashlib.sha256(key.encode()).hexdigest()}"


def fingerprint_of_file(received: ReceivedFile) -> str:
    """Stands for the file, byte for byte, and all that was asked for it."""
    return _hashed(
        received.incoming.sha256, received.name, orjson.dumps(received.form).decode()
    )


def fingerprint_of_prediction(asked: JobRequest) -> str:
    body = hashlib.sha256(asked.payload).hexdigest()
    return _hashed(body, asked.ref, asked.priority)


def _hashed(*parts: str) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
