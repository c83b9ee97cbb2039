"""Jobs as callers send and see them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.enums import FileFormat, JobKind, JobStatus, OnError, Priority
from app.schemas.examples import FEATURES, MODEL

Rows = list[dict[str, Any]]


class JobCreate(BaseModel):
    """A prediction to make later: `input_data`, `rows` or `features`, exactly one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model_id": MODEL,
                "rows": [FEATURES],
                "priority": "normal",
            }
        },
    )

    model_id: str = Field(
        description="Id, `name`, `name:version` or `name@alias`; the version it "
        "names now is the one that the job runs on."
    )
    input_data: dict[str, Any] | None = Field(
        None, description="A nested list for every input of the model."
    )
    rows: Rows | None = Field(None, description="Rows of named features.")
    features: dict[str, Any] | None = Field(
        None, description="One row of named features."
    )
    outputs: list[str] | None = Field(None, description="The outputs wanted.")
    priority: Priority = Field(
        Priority.NORMAL, description="high runs before normal, normal before low."
    )
    request_id: str | None = Field(None, description="A name of your own for it.")


class JobProgress(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    rows_done: int = Field(description="Rows tried so far, failed ones included.")
    rows_total: int
    rows_failed: int
    rows_per_second: float | None = Field(description="null before the first row.")
    eta_seconds: float | None = Field(description="null where it can't be told.")


class JobChunks(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    total: int = Field(description="0 until the file has been cut up.")
    done: int


class JobOptions(BaseModel):
    """What a file job was asked for."""

    model_config = ConfigDict(from_attributes=True)

    outputs: list[str] | None = Field(description="null for all.")
    include_inputs: Literal["all", "none"] | list[str]
    on_error: OnError
    max_failed_rows: int | None = Field(description="null where there is no limit.")
    chunk_rows: int = Field(description="That a worker takes at a time.")


class JobRowError(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    line: int = Field(description="Of the file, from 1; a row where it has no lines.")
    column: str | None = Field(description="null where no one value is to blame.")
    reason: str


class JobRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: JobKind = Field(description="One prediction, or every row of a file.")
    model_id: str = Field(description="The version that the job runs on.")
    model_name: str
    model_version: str
    status: JobStatus
    priority: Priority
    progress: JobProgress
    cancel_requested: bool
    retries: int = Field(description="How often a caller has retried the job.")
    attempts: int = Field(
        description="Tries so far, this one included; a worker that dies or an error "
        "that may pass leads to the next one."
    )
    queue_time_ms: float | None
    inference_time_ms: float | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    format: FileFormat | None = Field(description="Of a file job's input.")
    result_format: FileFormat | None = Field(
        description="That the result of a file job is stored in."
    )
    input_name: str | None = Field(
        description="Of a file job's input, as it was sent, or its name in the inbox."
    )
    input_bytes: int | None = Field(description="Of a file job's input, as it came.")
    input_sha256: str | None = Field(description="Of the same bytes.")
    options: JobOptions | None = Field(description="Of a file job.")
    chunks: JobChunks | None = Field(description="Of a file job.")
    errors: list[JobRowError] = Field(
        description="The first failed rows of a file job; `GET …/errors` has all."
    )


class JobList(BaseModel):
    items: list[JobRead]
    total: int
    page: int
    page_size: int
    total_pages: int


class FileEstimate(BaseModel):
    """What a file job would take, judged from a sample of its first rows."""

    rows: int
    seconds: float = Field(description="Of one worker that has nothing else to do.")
    result_bytes: int
    sample: list[dict[str, Any]] = Field(description="The first rows of the result.")
