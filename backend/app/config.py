"""Settings, read from the environment (and `.env`) once, at the edges."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from app.enums import Environment, Scope
from app.kit.hosts import is_loopback
from app.kit.setting_words import check_url, words
from app.validation_settings import ValidationSettings

DEFAULT_SECRET_KEY = "change-me-in-production"


class Settings(ValidationSettings):
    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    environment: Environment = Field(
        Environment.DEVELOPMENT,
        description="development or production; production refuses unsafe defaults.",
    )
    secret_key: SecretStr = Field(
        SecretStr(DEFAULT_SECRET_KEY),
        description="Secret for signing; 32 characters or more in production.",
    )
    auth: str = Field(
        "auto",
        description="on, off, or auto: off in development on a loopback HOST, else on.",
    )
    anonymous_scopes: str = Field(
        "",
        description="What callers without a key may do: of predict, read, write.",
    )
    auth_failures_per_minute: int = Field(
        10, ge=0, description="Wrong keys an address may send, then 429; 0: any number."
    )
    key_requests_per_s: float = Field(
        0, ge=0, description="Requests a second of each key in each process; 0: any."
    )
    key_concurrent_jobs: int = Field(
        0, ge=0, description="Jobs of each key that have not ended; 0: any number."
    )
    key_models: int = Field(0, ge=0, description="Versions of each key; 0: any number.")
    key_stored_mb: int = Field(
        0, ge=0, description="Model files and job inputs of each key, in MiB; 0: any."
    )
    host: str = Field("127.0.0.1", description="Address the server listens on.")
    port: int = Field(
        8000, ge=0, le=65535, description="Port the server listens on; 0 picks one."
    )
    grpc_port: int = Field(
        8001,
        ge=0,
        le=65535,
        description="Port of the Open Inference Protocol over gRPC; 0 turns it off.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Server processes that share the ports; each has its own models.",
    )
    grpc_max_message_mb: int = Field(
        64, ge=1, le=2047, description="Largest gRPC message, either way, in MiB."
    )
    base_path: str = Field(
        "",
        pattern="^(/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-])?$",
        description="Folder that a proxy shows the server under, such as /models.",
    )
    data_dir: Path = Field(
        Path("data"),
        description="Folder of the model files and of the embedded database.",
    )
    database_url: str = Field(
        "",
        description=(
            "postgresql+asyncpg://… or sqlite+aiosqlite:///…; empty means an "
            "SQLite file in DATA_DIR."
        ),
    )
    database_pool_size: int = Field(
        10, ge=1, le=200, description="PostgreSQL connections a process may hold."
    )
    database_timeout_s: float = Field(
        5.0, gt=0, description="Seconds until a database call is given up."
    )
    redis_url: str = Field(
        "",
        description=(
            "redis://… for the shared cache and the arq workers; empty means an "
            "in-process cache and a worker inside the server."
        ),
    )
    redis_timeout_ms: int = Field(
        50, ge=1, description="Milliseconds a prediction waits for Redis at most."
    )
    cache_ttl_s: int = Field(
        3600, ge=0, description="Seconds a prediction stays cached; 0 turns it off."
    )
    cache_memory_mb: int = Field(
        64, ge=0, description="Size of the in-process prediction cache, in MiB."
    )
    cache_entry_max_kb: int = Field(
        1024, ge=1, description="Larger predictions are not cached, in KiB."
    )
    max_upload_mb: int = Field(
        4096, ge=1, description="Largest model upload, all its files, in MiB."
    )
    max_body_mb: int = Field(
        64, ge=1, description="Largest body of a prediction or job, in MiB."
    )
    staging_timeout_s: float = Field(
        60.0, gt=0, description="Seconds an upload may stay silent before it is cut."
    )
    artifact_grace_s: int = Field(
        3600,
        ge=0,
        description="Seconds a model file that nothing refers to is kept on disk.",
    )
    inference_timeout_s: float = Field(
        30.0, gt=0, description="Seconds one prediction may wait and run."
    )
    inference_queue_limit: int = Field(
        256, ge=0, description="Predictions that may wait for a thread."
    )
    inference_queue_mb: int = Field(
        256, ge=1, description="What the inputs of those may take in all, in MiB."
    )
    inference_threads: int = Field(
        0,
        ge=0,
        description="Threads of a server process for inference; 0: its share of the CPUs.",
    )
    model_memory_budget_mb: int = Field(
        0,
        ge=0,
        description=(
            "Memory that loaded models may take in each process, in MiB; 0 means half "
            "of what the machine or its container has."
        ),
    )
    batch_max_rows: int = Field(
        64,
        ge=1,
        le=65_536,
        description="Rows of waiting predictions run together at most; 1 turns it off.",
    )
    inference_copies_mb: int = Field(
        512,
        ge=0,
        description=(
            "Memory for second copies of slow models, which give a lone run all "
            "threads, in MiB; larger models always use all."
        ),
    )
    execution_providers: str = Field(
        "cpu",
        description=(
            "What models run on, the preferred first, such as cuda,cpu: cpu, cuda, "
            "tensorrt, openvino, migraphx, dml or coreml."
        ),
    )
    shutdown_grace_s: int = Field(
        20, ge=0, description="Seconds that requests under way get when it stops."
    )
    registry_poll_s: float = Field(
        0.25,
        gt=0,
        le=0.5,
        description="Seconds between looks for registry changes of other processes.",
    )
    job_lease_s: float = Field(
        30.0, gt=0, description="Seconds after which a silent worker's job is retaken."
    )
    job_sweep_s: float = Field(
        5.0, gt=0, description="Seconds between a worker's looks for work left behind."
    )
    job_max_attempts: int = Field(
        3, ge=1, description="Attempts until a job whose worker dies is failed."
    )
    job_concurrency: int = Field(
        2, ge=1, description="Jobs a worker runs at the same time."
    )
    worker_name: str = Field(
        "worker",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="What check-worker finds a worker by; own to each of a machine.",
    )
    job_process: bool = Field(
        True,
        description="Without Redis, score files in a process beside the server.",
    )
    job_max_input_mb: int = Field(
        16_384, ge=1, description="Largest file of a file job as it is sent, in MiB."
    )
    job_retention_days: int = Field(
        30, ge=0, description="Days an ended job and its files are kept; 0: for ever."
    )
    job_webhook_hosts: str = Field(
        "",
        description=(
            "Hosts that may be told of ended jobs, with commas between: name, "
            "name:port, or http://name for one without TLS; empty: none."
        ),
    )
    log_level: str = Field(
        "INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="DEBUG, INFO, WARNING or ERROR.",
    )
    log_format: str = Field(
        "auto",
        pattern="^(auto|console|json)$",
        description="console, json, or auto: console on a terminal, json elsewhere.",
    )
    access_log: bool = Field(True, description="One log line per request.")

    @property
    def provider_names(self) -> list[str]:
        return words(self.execution_providers)

    @property
    def auth_is_on(self) -> bool:
        if self.auth != "auto":
            return self.auth == "on"
        is_development = self.environment is Environment.DEVELOPMENT
        return not (is_development and is_loopback(self.host))

    @property
    def scopes_without_key(self) -> frozenset[Scope]:
        return frozenset(map(Scope, words(self.anonymous_scopes)))

    @property
    def database_dsn(self) -> str:
        if self.database_url:
            return self.database_url
        return f"sqlite+aiosqlite:///{self.data_dir.resolve() / 'mlforge.db'}"

    @field_validator("auth")
    @classmethod
    def _known_auth(cls, given: str) -> str:
        if (word := given.strip().lower()) not in ("auto", "on", "off"):
            raise ValueError(f'AUTH takes auto, on or off, not "{word[:40]}".')
        return word

    @model_validator(mode="after")
    def _known_urls(self) -> Self:
        databases = ("postgresql+asyncpg://", "sqlite+aiosqlite:///")
        check_url("DATABASE_URL", self.database_url, databases)
        check_url("REDIS_URL", self.redis_url, ("redis://", "rediss://", "unix://"))
        return self

    @field_validator("anonymous_scopes")
    @classmethod
    def _known_scopes(cls, given: str) -> str:
        for word in set(words(given)) - {"predict", "read", "write"}:
            raise ValueError(f"ANONYMOUS_SCOPES takes predict, read, write: no {word}")
        return given

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        if not self.auth_is_on:
            raise ValueError(
                "ENVIRONMENT=production needs API keys: set AUTH=on, or leave it out."
            )
        secret = self.secret_key.get_secret_value()
        if secret == DEFAULT_SECRET_KEY or len(secret) < 32:
            raise ValueError(
                "ENVIRONMENT=production needs a SECRET_KEY of 32 characters or more "
                "that is not the default; make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        return self
