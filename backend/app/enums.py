"""Words shared by tables, schemas and use cases."""

from enum import StrEnum


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class VersionStatus(StrEnum):
    """pending -> uploaded -> validating -> ready | error; ready <-> archived."""

    PENDING = "pending"
    UPLOADED = "uploaded"
    VALIDATING = "validating"
    READY = "ready"
    ERROR = "error"
    ARCHIVED = "archived"


class JobStatus(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class JobKind(StrEnum):
    """One prediction made later, or every row of a file."""

    PREDICTION = "prediction"
    FILE = "file"


class JobStage(StrEnum):
    """Of a file job: plan -> score -> finish."""

    PLAN = "plan"
    SCORE = "score"
    FINISH = "finish"


class ChunkStatus(StrEnum):
    """queued <-> running -> done; stopped where the job ended before it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


class RetryRows(StrEnum):
    """Which rows of a file job are scored again."""

    FAILED = "failed"
    ALL = "all"


class FileFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    ARROW = "arrow"


class Compression(StrEnum):
    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class OnError(StrEnum):
    """What a row that can't be read or scored does to its job."""

    RECORD = "record"
    FAIL = "fail"


class Scope(StrEnum):
    """What an API key may do. `admin` implies all others, `write` implies `read`."""

    PREDICT = "predict"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Action(StrEnum):
    """What the audit log tells of."""

    MODEL_CREATE = "model.create"
    MODEL_UPLOAD = "model.upload"
    MODEL_VALIDATE = "model.validate"
    MODEL_REGISTER = "model.register"
    MODEL_PATCH = "model.patch"
    MODEL_ARCHIVE = "model.archive"
    MODEL_RESTORE = "model.restore"
    MODEL_DEFAULT = "model.default"
    MODEL_DELETE = "model.delete"
    ALIAS_SET = "alias.set"
    ALIAS_DELETE = "alias.delete"
    CACHE_CLEAR = "cache.clear"
    JOB_SUBMIT = "job.submit"
    JOB_CANCEL = "job.cancel"
    JOB_RETRY = "job.retry"
    JOB_DELETE = "job.delete"
    KEY_CREATE = "key.create"
    KEY_PATCH = "key.patch"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    ARTIFACT_DELETE = "artifact.delete"
    AUTH_FAILED = "auth.failed"
