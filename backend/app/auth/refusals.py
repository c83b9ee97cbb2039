"""Why a caller's key is refused, each in a word for the metrics and the audit log."""

from typing import ClassVar

from app.errors import Unauthorized


class KeyRefused(Unauthorized):
    """`key_id`: whose it says to be."""

    reason: ClassVar[str] = "refused"

    def __init__(self, detail: str, *, key_id: str | None = None) -> None:
        super().__init__(detail)
        self.key_id = key_id


class MissingKey(KeyRefused):
    reason = "missing"


class MisplacedKey(KeyRefused):
    """Sent where it must not be, or more than one."""

    reason = "misplaced"


class MalformedKey(KeyRefused):
    reason = "malformed"


class UnknownKey(KeyRefused):
    """Well formed, and not known here, or not yet."""

    reason = "unknown"


class ExpiredKey(KeyRefused):
    reason = "expired"
