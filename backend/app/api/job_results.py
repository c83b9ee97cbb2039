"""The files of a finished job, as HTTP gives them: stored, or made on the way."""

import asyncio
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.api.downloads import attachment, download
from app.codecs.media_types import best_of
from app.datasets.kinds import MEDIA_TYPES
from app.enums import FileFormat, JobStatus
from app.errors import Internal
from app.models.job import Job
from app.runtime import Runtime
from app.services.file_jobs import FileResult, StoredFile

_VARY: Final = "Accept"
_HEADERS: Final = {"Cache-Control": "private, no-cache", "Vary": _VARY}
_BARE: Final = {
    format_: media_type.partition(";")[0] for format_, media_type in MEDIA_TYPES.items()
}
_ERROR_FORMATS: Final = (FileFormat.NDJSON, FileFormat.CSV)
_PACKED: Final = (".gz", ".zst")
_READ_BYTES: Final = 1 << 20


def format_of(
    request: Request, asked: FileFormat | None, offered: tuple[FileFormat, ...]
) -> FileFormat:
    """Raises NotAcceptable naming what is offered, the first where all is welcome."""
    if asked is not None:
        return asked
    accept = ",".join(request.headers.getlist("accept"))
    types = {_BARE[format_]: format_ for format_ in offered}
    return types[best_of(accept, tuple(types))]


def result_format_of(
    request: Request, asked: FileFormat | None, job: Job
) -> FileFormat:
    stored = job.result_format or FileFormat.NDJSON
    others = [format_ for format_ in FileFormat if format_ is not stored]
    return format_of(request, asked, (stored, *others))


async def send_result(
    request: Request, runtime: Runtime, job: Job, wanted: FileFormat
) -> Response:
    found = await runtime.file_jobs.result(job.id)
    name = _name(job, "predictions", wanted)
    if wanted is found.recipe.result_format:
        return await _stored(request, found.result, name)
    if request.method == "HEAD":
        return _made(iter(()), wanted, name)
    return _made(_converted(runtime, found, wanted), wanted, name)


async def send_errors(request: Request, runtime: Runtime, job: Job) -> Response:
    """An empty file where no row failed."""
    wanted = format_of(request, None, _ERROR_FORMATS)
    name = _name(job, "errors", wanted)
    if job.status is not JobStatus.COMPLETED:
        paths = await runtime.file_jobs.errors_so_far(job.id)
        return _errors(request, paths, wanted, name)
    found = await runtime.file_jobs.result(job.id)
    if found.errors is None:
        return _errors(request, (), wanted, name)
    if wanted is FileFormat.CSV:
        return _errors(request, (found.errors.path,), wanted, name)
    return await _stored(request, found.errors, name)


def _errors(
    request: Request, paths: Sequence[Path], wanted: FileFormat, name: str
) -> Response:
    if request.method == "HEAD":
        return _made(iter(()), wanted, name)
    lines = _lines(paths)
    if wanted is FileFormat.CSV:
        return _made(_errors_as_csv(lines), wanted, name)
    return _made(map(b"".join, lines), wanted, name)


def _lines(paths: Sequence[Path]) -> Iterator[Sequence[bytes]]:
    """Of one file after the other, some at a time."""
    for path in paths:
        with path.open("rb") as file:
            while some := file.readlines(_READ_BYTES):
                yield some


async def _stored(request: Request, stored: StoredFile, name: str) -> Response:
    if not await asyncio.to_thread(stored.path.is_file):
        raise Internal(
            "A file of this job is missing on the server: retry the job, or restore "
            "the file from a backup."
        )
    return download(
        request,
        stored.path,
        stored.file,
        filename=name,
        media_type=stored.file.media_type,
        vary=_VARY,
    )


def _made(blocks: Iterator[bytes], format_: FileFormat, name: str) -> Response:
    headers = {**_HEADERS, "Content-Disposition": attachment(name)}
    return StreamingResponse(blocks, headers=headers, media_type=MEDIA_TYPES[format_])


def _converted(
    runtime: Runtime, found: FileResult, wanted: FileFormat
) -> Iterator[bytes]:
    return iter(runtime.file_scoring.convert(found.parts, found.recipe, wanted))


def _errors_as_csv(lines: Iterator[Sequence[bytes]]) -> Iterator[bytes]:
    yield b"line,column,reason\n"
    yield from map(_csv_of, lines)


def _csv_of(lines: Sequence[bytes]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for line in lines:
        error = orjson.loads(line)
        rows.writerow((error["line"], error["column"], error["reason"]))
    return text.getvalue().encode()


def _name(job: Job, what: str, format_: FileFormat) -> str:
    """What to call it at the client: after the file that came in."""
    path = PurePath(job.input_name or "rows")
    while path.suffix.lower() in _PACKED:
        path = path.with_suffix("")
    stem = path.stem.replace('"', "'") or "rows"
    return f"{stem}-{what}.{format_}"
