"""Every error MLForge raises on purpose, each with its status and stable code.

MLForgeError
├── BadRequest 400
│   ├── InvalidJSON, InvalidRequest: the body, or its shape, is not one the call takes
│   ├── InvalidInput          a tensor is missing, or of wrong dtype, shape or width
│   ├── MissingFeatures       rows lack features the model needs
│   └── InferenceFailed       ONNX Runtime could not run this input
├── Unauthorized 401          no valid API key
├── Forbidden 403             a valid one that may not do this
├── NotFound 404
│   ├── RouteNotFound, ModelNotFound, AliasNotFound, JobNotFound, KeyNotFound
│   └── FileNotUploaded       a version that has no file yet
├── MethodNotAllowed 405, NotAcceptable 406, RequestTimeout 408
├── Conflict 409
│   ├── VersionExists, ModelNotReady
│   ├── StateForbids          the lifecycle does not allow this step from here
│   └── NoDefaultModel
├── PayloadTooLarge 413, UnsupportedMediaType 415
├── RangeNotSatisfiable 416, HeadTooLarge 431
├── RateLimited 429           too many requests of a key or an address
│   └── QuotaExceeded         it has as much as it may have
├── Unprocessable 422
│   ├── InvalidField          a field breaks its rule
│   └── InvalidModel          the file is no model that ONNX Runtime can serve
├── Internal 500
│   └── ArtifactCorrupt       a committed file is missing or changed
├── Unavailable 503
│   ├── Overloaded, ShuttingDown, DatabaseUnavailable
│   └── ModelLoadFailed       no room for the model now, or no time to wait for it
└── InferenceTimeout 504, InsufficientStorage 507
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken field. `loc` is a dotted path such as `rows.3.age`."""

    loc: str
    msg: str


class MLForgeError(Exception):
    """An error a caller can act on.

    `detail` is one sentence that names the field, what was found and what is
    wanted; it is shown to callers, so it never holds a path, a query or a stack.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers or {}


class BadRequest(MLForgeError):
    status = 400
    code = "bad_request"
    title = "Bad request"


class InvalidJSON(BadRequest):
    code = "invalid_json"
    title = "Invalid JSON"


class InvalidRequest(BadRequest):
    code = "invalid_request"
    title = "Invalid request"


class InvalidInput(BadRequest):
    code = "invalid_input"
    title = "Invalid input"


class MissingFeatures(BadRequest):
    code = "missing_features"
    title = "Missing features"


class InferenceFailed(BadRequest):
    code = "inference_failed"
    title = "Inference failed"


class Unauthorized(MLForgeError):
    status = 401
    code = "unauthorized"
    title = "Unauthorized"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(MLForgeError):
    status = 403
    code = "forbidden"
    title = "Forbidden"


class NotFound(MLForgeError):
    status = 404
    code = "not_found"
    title = "Not found"


class RouteNotFound(NotFound):
    code = "route_not_found"
    title = "No such route"


class ModelNotFound(NotFound):
    code = "model_not_found"
    title = "Model not found"


class AliasNotFound(NotFound):
    code = "alias_not_found"
    title = "Alias not found"


class JobNotFound(NotFound):
    code = "job_not_found"
    title = "Job not found"


class KeyNotFound(NotFound):
    code = "key_not_found"
    title = "API key not found"


class FileNotUploaded(NotFound):
    code = "file_not_uploaded"
    title = "No file uploaded"


class MethodNotAllowed(MLForgeError):
    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"


class NotAcceptable(MLForgeError):
    status = 406
    code = "not_acceptable"
    title = "Not acceptable"


class RequestTimeout(MLForgeError):
    status = 408
    code = "request_timeout"
    title = "Request timed out"


class Conflict(MLForgeError):
    status = 409
    code = "conflict"
    title = "Conflict"


class VersionExists(Conflict):
    code = "version_exists"
    title = "Version exists"


class ModelNotReady(Conflict):
    code = "model_not_ready"
    title = "Model not ready"


class StateForbids(Conflict):
    code = "state_forbids"
    title = "Not allowed in this state"


class NoDefaultModel(Conflict):
    code = "no_default_model"
    title = "No default model"


class PayloadTooLarge(MLForgeError):
    status = 413
    code = "payload_too_large"
    title = "Payload too large"


class UnsupportedMediaType(MLForgeError):
    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class RangeNotSatisfiable(MLForgeError):
    status = 416
    code = "range_not_satisfiable"
    title = "Range not satisfiable"


class RateLimited(MLForgeError):
    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class QuotaExceeded(RateLimited):
    code = "quota_exceeded"
    title = "Quota exceeded"


class HeadTooLarge(MLForgeError):
    status = 431
    code = "head_too_large"
    title = "Request header fields too large"


class Unprocessable(MLForgeError):
    status = 422
    code = "unprocessable"
    title = "Unprocessable"


class InvalidField(Unprocessable):
    code = "invalid_field"
    title = "Invalid field"


class InvalidModel(Unprocessable):
    code = "invalid_model"
    title = "Invalid model"


class Internal(MLForgeError):
    status = 500
    code = "internal"
    title = "Internal error"


class ArtifactCorrupt(Internal):
    code = "artifact_corrupt"
    title = "Model file corrupt"


class Unavailable(MLForgeError):
    status = 503
    code = "unavailable"
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class Overloaded(Unavailable):
    code = "overloaded"
    title = "Overloaded"


class ShuttingDown(Unavailable):
    code = "shutting_down"
    title = "Shutting down"


class ModelLoadFailed(Unavailable):
    code = "model_load_failed"
    title = "Model not loaded"


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"
    title = "Database unavailable"


class InferenceTimeout(MLForgeError):
    status = 504
    code = "inference_timeout"
    title = "Inference timed out"


class InsufficientStorage(MLForgeError):
    status = 507
    code = "insufficient_storage"
    title = "Insufficient storage"
