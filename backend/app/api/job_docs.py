"""What the OpenAPI document says of jobs beside what their routes do."""

from typing import Any, Final

from app.api.json_only import JSON
from app.datasets.kinds import MEDIA_TYPES
from app.enums import FileFormat, OnError, Priority, RetryRows
from app.schemas.examples import MODEL
from app.schemas.jobs import FileEstimate, JobCreate, JobRead

SUBMIT_ERRORS: Final = (400, 404, 408, 409, 413, 415, 422, 503, 507)
_BINARY: Final = {"type": "string", "contentMediaType": "application/octet-stream"}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _number(description: str, least: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "description": description}


def _words(words: type[Any], description: str, default: str = "") -> dict[str, Any]:
    told = {"default": default} if default else {}
    return _text(description, enum=[word.value for word in words], **told)


_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Every row of a file. Fields may stand before or after it.",
    "properties": {
        "file": _text(
            "CSV, NDJSON, Parquet or Arrow, also packed with gzip or zstd; by its content "
            "type, else by its name (.csv, .ndjson, .jsonl, .parquet, .arrow, each also "
            "with .gz or .zst).",
            format="binary",
        ),
        "source": _text(
            "In place of `file`: an object that the operator put into the store's inbox."
        ),
        "model_id": _text("Id, `name`, `name:version` or `name@alias`."),
        "outputs": _text('The outputs wanted, `a,b` or `["a", "b"]`; all.'),
        "include_inputs": _text(
            "Input columns in the result: `all`, `none`, or names.", default="all"
        ),
        "on_error": _words(
            OnError, "Whether a failed row is recorded or fails the job.", "record"
        ),
        "max_failed_rows": _number("More failed rows than these fail the job.", 0),
        "chunk_rows": _number("Rows scored by one worker at a time; by the model.", 1),
        "priority": _words(Priority, "high before normal before low.", "normal"),
        "format": _words(FileFormat, "The file's, whatever its type and name say."),
        "output_format": _words(FileFormat, "The result's; the file's."),
        "dry_run": {
            "type": "boolean",
            "default": False,
            "description": "Only estimate, and keep nothing.",
        },
        "webhook_url": _text("Called when the job has ended, if its host is allowed."),
    },
    "required": ["model_id"],
    "example": {
        "file": "rows.csv",
        "model_id": MODEL,
        "include_inputs": "all",
        "output_format": "parquet",
    },
}


def _json(model: type[Any]) -> dict[str, Any]:
    """The schema of a body that the route reads by itself."""
    schema: dict[str, Any] = model.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    schema.pop("$defs", None)  # What it refers to is a component already, by JobRead.
    return {"schema": schema}


_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A name of your own for this request, 255 letters at most: sent again "
    "with the same input and options, it gives the job that is there.",
    "schema": {"type": "string", "maxLength": 255},
}
SUBMIT_DOCUMENT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {JSON: _json(JobCreate), "multipart/form-data": {"schema": _FORM}},
    },
    "parameters": [_KEY],
}
RETRY_DOCUMENT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "rows": _words(
                            RetryRows, "Of a file job; all are new chunks.", "failed"
                        )
                    },
                }
            }
        },
    }
}
SUBMITTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": JobRead | FileEstimate,
        "description": "The job that this `Idempotency-Key` made before; or, of a "
        "`dry_run`, what the file would take.",
    },
    201: {
        "model": JobRead,
        "description": "The job.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}


def _files(*formats: FileFormat) -> dict[str, Any]:
    types = [MEDIA_TYPES[format_].partition(";")[0] for format_ in formats]
    return {media_type: {"schema": _BINARY} for media_type in types}


_PARTIAL: Final[dict[int | str, dict[str, Any]]] = {
    206: {"description": "The ranges asked for."},
    304: {"description": "The caller's copy, named by `If-None-Match`, is right."},
}
RESULTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The answer, as POST /models/{ref}/predict gives it, or the file "
        "with its predictions in the type that Accept likes best; of a job that failed "
        "or was cancelled, the job itself, whose `status`, `error_code` and "
        "`error_message` say why there is none.",
        "content": {JSON: {}, **_files(*FileFormat)},
    },
    202: {"model": JobRead, "description": "The job has not ended yet."},
    **_PARTIAL,
}
ROW_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The failed rows.",
        "content": _files(FileFormat.NDJSON, FileFormat.CSV),
    },
    **_PARTIAL,
}
