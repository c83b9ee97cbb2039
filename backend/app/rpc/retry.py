"""When to ask again, as gRPC's clients read it: google.rpc.RetryInfo in the status."""

from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

from app.errors import MLForgeError
from app.kit.redaction import without_keys
from app.rpc.codec import varint

_RETRY_AFTER: Final = "Retry-After"
_DETAILS: Final = "grpc-status-details-bin"
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
_MOST_DETAIL: Final = 600


def retry_metadata(
    code: StatusCode, error: MLForgeError
) -> tuple[tuple[str, str | bytes], ...]:
    """Nothing where the error does not say when."""
    after = error.headers.get(_RETRY_AFTER)
    if after is None:
        return ()
    return (
        (_RETRY_AFTER.lower(), after),
        (_DETAILS, _status(code, without_keys(error.detail), int(after))),
    )


def _status(code: StatusCode, message: str, seconds: int) -> bytes:
    """A google.rpc.Status: `code` in field 1, `message` in 2, `details` in 3; and a
    RetryInfo: `retry_delay` in field 1."""
    delay = Duration(seconds=seconds).SerializeToString()
    info = Any(type_url=_RETRY_INFO, value=_field(1, delay)).SerializeToString()
    number = code.value[0]
    text = message[:_MOST_DETAIL].encode()
    return b"".join([b"\x08", varint(number), _field(2, text), _field(3, info)])


def _field(number: int, data: bytes) -> bytes:
    """As the wire format writes one that has a length."""
    return b"".join([varint(number << 3 | 2), varint(len(data)), data])
