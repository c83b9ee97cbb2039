"""Jobs: predictions made later, by whichever worker is free."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from app.api.access import DeclaredRoute, needs
from app.api.deps import CallerDep, RuntimeDep
from app.api.job_body import render_job, retry_rows
from app.api.job_docs import (
    RESULTS,
    RETRY_DOCUMENT,
    ROW_ERRORS,
    SUBMIT_DOCUMENT,
    SUBMIT_ERRORS,
    SUBMITTED,
)
from app.api.job_events import job_events
from app.api.job_results import result_format_of, send_errors, send_result
from app.api.job_submit import is_form, submit_file, submit_prediction
from app.api.json_only import JSON
from app.api.openapi import error_responses
from app.enums import FileFormat, JobKind, JobStatus, Scope
from app.models.job import Job
from app.schemas.jobs import JobList, JobRead
from app.services.jobs import ENDED

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=DeclaredRoute)

LONGEST_WAIT_S: Final = 30


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_class=Response,
    summary="Submit a job",
    openapi_extra=SUBMIT_DOCUMENT,
    responses={**SUBMITTED, **error_responses(*SUBMIT_ERRORS)},
)
@needs(Scope.PREDICT)
async def submit_job(
    request: Request, runtime: RuntimeDep, caller: CallerDep
) -> Response:
    """One prediction as JSON, or every row of a file as a form.

    The input is checked at once: a prediction's as a whole, a file's by its header and
    first rows. A worker does the rest. The job runs on the version that `model_id`
    names now, whatever moves later.
    """
    if is_form(request):
        return await submit_file(request, runtime, caller)
    return await submit_prediction(request, runtime, caller)


@router.get(
    "",
    response_model=JobList,
    summary="List jobs",
    responses=error_responses(422),
)
@needs(Scope.PREDICT)
async def list_jobs(
    runtime: RuntimeDep,
    caller: CallerDep,
    status: Annotated[JobStatus | None, Query(description="Only these.")] = None,
    model_id: Annotated[
        str | None, Query(description="A version's id, a name or name:version.")
    ] = None,
    kind: Annotated[JobKind | None, Query(description="Only these.")] = None,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobList:
    """Newest first."""
    found = await runtime.jobs.list_jobs(
        status,
        model_id,
        kind=kind,
        names=caller.regex,
        page=page,
        page_size=page_size,
    )
    return JobList(
        items=[render_job(job) for job in found.items],
        total=found.total,
        page=page,
        page_size=page_size,
        total_pages=-(-found.total // page_size),
    )


@router.get(
    "/{job_id}",
    response_model=JobRead,
    summary="Get a job",
    responses=error_responses(404),
)
@needs(Scope.PREDICT)
async def get_job(job_id: str, runtime: RuntimeDep) -> JobRead:
    return render_job(await runtime.jobs.get(job_id))


@router.head("/{job_id}/result", include_in_schema=False)
@router.get(
    "/{job_id}/result",
    summary="Get a job's result",
    response_class=Response,
    responses={**RESULTS, **error_responses(404, 406, 416, 422, 500, 503)},
)
@needs(Scope.PREDICT, lasting=True)
async def get_job_result(
    job_id: str,
    request: Request,
    runtime: RuntimeDep,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for it.")
    ] = 0.0,
    format: Annotated[  # noqa: A002 - the parameter's name
        FileFormat | None,
        Query(description="Of a file job's result, in place of `Accept`."),
    ] = None,
) -> Response:
    """A prediction's answer, or the file of a file job with its predictions.

    The stored file has an `ETag`, its SHA-256, and ranges; another format is made on
    the way, without them.
    """
    found = await runtime.jobs.result(job_id, wait_s=wait)
    if not isinstance(found, Job):
        return Response(found.body, media_type=found.media_type)
    if found.status is JobStatus.COMPLETED:
        wanted = result_format_of(request, format, found)
        return await send_result(request, runtime, found, wanted)
    code = status.HTTP_200_OK if found.status in ENDED else status.HTTP_202_ACCEPTED
    return Response(render_job(found).model_dump_json(), code, media_type=JSON)


@router.head("/{job_id}/errors", include_in_schema=False)
@router.get(
    "/{job_id}/errors",
    summary="Get the failed rows of a file job",
    response_class=Response,
    responses={**ROW_ERRORS, **error_responses(404, 406, 409, 416, 422, 500, 503)},
)
@needs(Scope.PREDICT)
async def get_job_errors(
    job_id: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Line, column and reason of every failed row, in order; empty where none failed.

    As NDJSON, or as CSV by `Accept`. There once the job has ended; of one that failed
    or was cancelled those of the rows that it had come to, without ranges.
    """
    return await send_errors(request, runtime, await runtime.jobs.get(job_id))


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The job as JSON at every change, until it has ended.",
            "content": {"text/event-stream": {}},
        },
        **error_responses(404),
    },
)
@needs(Scope.PREDICT, lasting=True)
async def follow_job(job_id: str, runtime: RuntimeDep) -> StreamingResponse:
    job = await runtime.jobs.get(job_id)
    return StreamingResponse(
        job_events(runtime.jobs, job),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post(
    "/{job_id}/cancel",
    response_model=JobRead,
    summary="Cancel a job",
    responses=error_responses(404, 409),
)
@needs(Scope.PREDICT)
async def cancel_job(job_id: str, runtime: RuntimeDep) -> JobRead:
    """A queued job ends at once, a running one within two seconds."""
    return render_job(await runtime.jobs.cancel(job_id))


@router.post(
    "/{job_id}/retry",
    response_model=JobRead,
    summary="Retry a job",
    openapi_extra=RETRY_DOCUMENT,
    responses=error_responses(400, 404, 409, 413, 415, 422),
)
@needs(Scope.PREDICT)
async def retry_job(job_id: str, request: Request, runtime: RuntimeDep) -> JobRead:
    """Queues an ended job again, on the same version and input.

    A prediction that failed or was cancelled; a file job with rows that failed or were
    left over, of which `rows` says whether those or all are scored again.
    """
    rows = await retry_rows(request)
    return render_job(await runtime.jobs.retry(job_id, rows))


@router.delete(
    "/{job_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    summary="Delete a job",
    responses=error_responses(404, 409),
)
@needs(Scope.PREDICT)
async def delete_job(job_id: str, runtime: RuntimeDep) -> None:
    """Removes an ended job and its result."""
    await runtime.jobs.delete(job_id)
