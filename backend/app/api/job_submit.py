"""Submitting a job: a prediction as JSON, or a file as a form."""

from dataclasses import replace
from functools import partial
from typing import Final

import orjson
from starlette import status
from starlette.requests import Request
from starlette.responses import Response

from app.api.body import read_body
from app.api.job_body import parse_job, render_job
from app.api.job_form import FileForm, kind_for
from app.api.job_keys import (
    fingerprint_of_file,
    fingerprint_of_prediction,
    idempotency_key,
)
from app.api.job_upload import ReceivedFile, receive_file
from app.api.json_only import JSON, require_json
from app.auth.gate import check_operator
from app.auth.principal import Principal
from app.datasets.base import Examined
from app.datasets.kinds import MEDIA_TYPES
from app.errors import UnsupportedMediaType
from app.models.job import Job
from app.runtime import MIB, Runtime
from app.services.file_jobs import NewFileJob
from app.services.jobs import PinnedVersion
from app.services.traffic import MISSED

JOBS: Final = "/api/v1/jobs"
_FORM: Final = "multipart/form-data"
_ROWS: Final = {media_type.partition(";")[0] for media_type in MEDIA_TYPES.values()}
_NAME_LETTERS: Final = 200


def is_form(request: Request) -> bool:
    """Raises UnsupportedMediaType on what is neither a form nor JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _FORM:
        return True
    if kind in _ROWS:
        raise UnsupportedMediaType(
            f"Content-Type {kind} is not taken here; send the file in a form, as curl "
            "-F file=@rows.csv -F model_id=… does."
        )
    require_json(request)
    return False


async def submit_prediction(
    request: Request, runtime: Runtime, caller: Principal
) -> Response:
    body = await read_body(request.scope, request.receive, runtime.max_body_bytes)
    key = idempotency_key(request, caller)
    asked = parse_job(body)
    await runtime.identity.sight.check_ref(caller, asked.ref)
    if key is not None:
        fingerprint = fingerprint_of_prediction(asked)
        earlier = await runtime.jobs.find_by_key(key, fingerprint)
        if earlier is not None:
            return _answer(earlier, status.HTTP_200_OK)
        asked = replace(asked, idempotency_key=key, fingerprint=fingerprint)
    return _answer(await runtime.jobs.submit(asked), status.HTTP_201_CREATED)


async def submit_file(
    request: Request, runtime: Runtime, caller: Principal
) -> Response:
    """Nothing of the upload is kept unless there is a job in the end."""
    key = idempotency_key(request, caller)
    async with receive_file(
        request,
        runtime.job_files,
        partial(_check, runtime, caller, key),
        limit_bytes=runtime.settings.job_max_input_mb * MIB,
        idle_timeout_s=runtime.settings.staging_timeout_s,
    ) as received:
        await runtime.identity.sight.check_ref(caller, received.form.request.ref)
        if received.form.dry_run:
            return _estimate(await _examine(received, runtime))
        return await _submit(received, key, runtime, caller)


async def _submit(
    received: ReceivedFile, key: str | None, runtime: Runtime, caller: Principal
) -> Response:
    fingerprint = None
    if key is not None:
        fingerprint = fingerprint_of_file(received)
        earlier = await runtime.jobs.find_by_key(key, fingerprint)
        if earlier is not None:
            return _answer(earlier, status.HTTP_200_OK)
    await _check(runtime, caller, None, received.form)
    examined = await _examine(received, runtime)
    new = replace(
        _new_job(received, examined), idempotency_key=key, fingerprint=fingerprint
    )
    job = await runtime.file_jobs.submit(received.incoming, new)
    return _answer(job, status.HTTP_201_CREATED)


async def _check(
    runtime: Runtime, caller: Principal, key: str | None, form: FileForm
) -> None:
    """What can be told without the file: that the source, the model and the webhook may
    be. What was submitted before under this key stays what it was."""
    if form.source is not None:
        check_operator(caller, "`source` reads a file of the server's inbox")
    await runtime.identity.sight.check_ref(caller, form.request.ref)
    if key is not None and await runtime.jobs.knows_key(key):
        return
    if form.webhook_url is not None:
        runtime.webhooks.check(form.webhook_url)
    try:
        runtime.routes.resolve(form.request.ref)
    except MISSED:
        await runtime.traffic.catch_up_on_miss()
        runtime.routes.resolve(form.request.ref)


def _new_job(received: ReceivedFile, examined: Examined) -> NewFileJob:
    return NewFileJob(
        pinned=PinnedVersion(
            examined.version_id, examined.model_name, examined.model_version
        ),
        recipe=examined.recipe,
        rows_total=examined.rows,
        input_name=_shown_name(received.name),
        included=received.form.request.include_inputs,
        priority=received.form.priority,
        webhook=received.form.webhook_url,
    )


async def _examine(received: ReceivedFile, runtime: Runtime) -> Examined:
    kind = kind_for(received.form, received.name, received.content_type)
    return await runtime.file_scoring.examine(
        received.incoming.path, kind, received.form.request
    )


def _estimate(examined: Examined) -> Response:
    sample = b"[%b]" % b",".join(examined.sample.splitlines())
    body = {
        "rows": examined.rows,
        "seconds": round(examined.seconds, 3),
        "result_bytes": examined.result_bytes,
        "sample": orjson.Fragment(sample),
    }
    return Response(orjson.dumps(body), media_type=JSON)


def _answer(job: Job, code: int) -> Response:
    body = render_job(job).model_dump_json()
    headers = {"Location": f"{JOBS}/{job.id}"}
    return Response(body, code, headers=headers, media_type=JSON)


def _shown_name(name: str) -> str:
    """As the result's name is made of it, so without what no header can hold."""
    cut = name[-_NAME_LETTERS:]
    return "".join(letter if letter.isprintable() else "_" for letter in cut)
