"""Every error has a gRPC code, and the ones that callers act upon have the right one."""

from collections.abc import Iterator

import pytest
from grpc import StatusCode

from app import errors
from app.errors import MLForgeError
from app.rpc.status import code_of


def family(kind: type[MLForgeError]) -> Iterator[type[MLForgeError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


@pytest.mark.parametrize("kind", sorted(set(family(MLForgeError)), key=str))
def test_every_error_has_a_code(kind: type[MLForgeError]) -> None:
    code = code_of(kind("what happened"))
    assert code is not StatusCode.OK
    is_ours = code in (StatusCode.INTERNAL, StatusCode.UNAVAILABLE)
    assert is_ours <= (kind.status >= 500 or kind is errors.ModelNotReady)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidInput, StatusCode.INVALID_ARGUMENT),
        (errors.InvalidField, StatusCode.INVALID_ARGUMENT),
        (errors.ModelNotFound, StatusCode.NOT_FOUND),
        (errors.AliasNotFound, StatusCode.NOT_FOUND),
        (errors.ModelNotReady, StatusCode.UNAVAILABLE),
        (errors.VersionExists, StatusCode.ALREADY_EXISTS),
        (errors.StateForbids, StatusCode.FAILED_PRECONDITION),
        (errors.PayloadTooLarge, StatusCode.RESOURCE_EXHAUSTED),
        (errors.Overloaded, StatusCode.UNAVAILABLE),
        (errors.ShuttingDown, StatusCode.UNAVAILABLE),
        (errors.InferenceTimeout, StatusCode.DEADLINE_EXCEEDED),
        (errors.ArtifactCorrupt, StatusCode.INTERNAL),
    ],
)
def test_an_error_has_the_code_that_callers_expect(
    kind: type[MLForgeError], code: StatusCode
) -> None:
    assert code_of(kind("what happened")) is code
