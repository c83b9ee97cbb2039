"""Which gRPC code each error has: the one map, beside the HTTP status it already has."""

from typing import Final

from grpc import StatusCode

from app.errors import MLForgeError, ModelNotReady, VersionExists

# Where the class says more than its HTTP status.
_BY_CLASS: Final[dict[type[MLForgeError], StatusCode]] = {
    # Callers of this protocol ask again: the version may be ready in a moment.
    ModelNotReady: StatusCode.UNAVAILABLE,
    VersionExists: StatusCode.ALREADY_EXISTS,
}

_BY_STATUS: Final = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    405: StatusCode.UNIMPLEMENTED,
    406: StatusCode.INVALID_ARGUMENT,
    408: StatusCode.DEADLINE_EXCEEDED,
    409: StatusCode.FAILED_PRECONDITION,
    413: StatusCode.RESOURCE_EXHAUSTED,
    415: StatusCode.INVALID_ARGUMENT,
    416: StatusCode.OUT_OF_RANGE,
    429: StatusCode.RESOURCE_EXHAUSTED,
    431: StatusCode.RESOURCE_EXHAUSTED,
    422: StatusCode.INVALID_ARGUMENT,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
    507: StatusCode.RESOURCE_EXHAUSTED,
}


def code_of(error: MLForgeError) -> StatusCode:
    """KeyError for a status that no error had when the map was written."""
    for kind in type(error).__mro__:
        if kind in _BY_CLASS:
            return _BY_CLASS[kind]
    return _BY_STATUS[error.status]
