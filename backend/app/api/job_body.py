"""Jobs between HTTP and the use cases: the body of a submit, the row as JSON."""

from typing import Any

import orjson
from starlette.requests import Request

from app.api.json_only import require_json
from app.enums import Priority, RetryRows
from app.errors import InvalidField, InvalidJSON, InvalidRequest
from app.models.job import Job
from app.schemas.jobs import JobRead
from app.services.job_view import view_of
from app.services.jobs import JobRequest

_SHOWN = 80
_PRIORITIES = {priority.value for priority in Priority}


def parse_job(body: bytes) -> JobRequest:
    """The job that a JSON body asks for.

    All but the job's own fields goes on as the body of the prediction, which is
    checked as that of POST /models/{ref}/predict is.
    """
    fields = _object(body, "model_id")
    ref = fields.pop("model_id", None)
    if not isinstance(ref, str):
        raise InvalidField(
            "model_id: give a model's id, name, name:version or name@alias as a "
            f"string; found {_shown(ref)}"
        )
    priority = _priority(fields.pop("priority", None))
    rows = fields.get("rows")
    rows_total = len(rows) if isinstance(rows, list) else 1
    return JobRequest(ref, _payload(fields), rows_total, priority)


def render_job(job: Job) -> JobRead:
    return JobRead.model_validate(view_of(job))


async def retry_rows(request: Request) -> RetryRows:
    """What of a file job is scored again: its failed rows unless the body says all."""
    body = await request.body()
    if not body:
        return RetryRows.FAILED
    require_json(request)
    fields = _object(body, "rows")
    rows = fields.pop("rows", RetryRows.FAILED)
    if fields:
        raise InvalidField(f"{next(iter(fields))[:_SHOWN]}: is no field; use rows")
    if not isinstance(rows, str) or rows not in set(RetryRows):
        raise InvalidField(f"rows: give failed or all; found {_shown(rows)}")
    return RetryRows(rows)


def _object(body: bytes, wanted: str) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJSON(f"the body is no valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InvalidRequest(
            f"the body must be a JSON object with {wanted}; found {_shown(fields)}"
        )
    return fields


def _payload(fields: dict[str, Any]) -> bytes:
    """orjson reads far deeper lists than it writes."""
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(
            "the body is nested deeper than 254 levels, which no model takes as an input"
        ) from error


def _priority(value: object) -> Priority:
    if value is None:
        return Priority.NORMAL
    if isinstance(value, str) and value in _PRIORITIES:
        return Priority(value)
    raise InvalidField(f"priority: give low, normal or high; found {_shown(value)}")


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
