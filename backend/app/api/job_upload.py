"""The upload of a file job: its file streamed to disk, its fields read on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from app.api.job_form import Fields, FileForm, check_field, parse_form
from app.api.multipart_body import boundary_of, bounded_body
from app.api.multipart_fields import FIELD_BYTES, read_field
from app.api.multipart_parts import Part, PartReader
from app.artifacts.job_files import Incoming, JobFiles
from app.errors import InvalidField

_FILE: Final = "file"
# Lists of names: a table may have thousands of columns.
_NAMES: Final = ("outputs", "include_inputs")
_NAMES_BYTES: Final = 4 << 20
_ADVICE: Final = (
    "compress it with gzip or zstd, send its rows in several files, or raise "
    "JOB_MAX_INPUT_MB on the server"
)


# Raises where what the form says so far can't be.
Check = Callable[[FileForm], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """`name` is the file's as the client calls it: never use it as a path."""

    incoming: Incoming
    form: FileForm
    name: str
    content_type: str


@asynccontextmanager
async def receive_file(
    request: Request,
    files: JobFiles,
    check: Check,
    *,
    limit_bytes: int,
    idle_timeout_s: float,
) -> AsyncIterator[ReceivedFile]:
    """Takes in the whole body, in any order of its parts; what came is gone on exit
    unless it was kept. A `source` is copied, so that nobody changes it any more.

    `check` is asked when all fields are known that come before the file, so that
    gigabytes are not sent in vain, and before a `source` is looked for.
    """
    boundary = boundary_of(request)
    body = bounded_body(
        request, limit_bytes, idle_timeout_s=idle_timeout_s, advice=_ADVICE
    )
    async with aclosing(body), files.receiving() as incoming:
        parts = _Parts(incoming, check)
        reader = PartReader(body, boundary)
        while (part := await reader.next_part()) is not None:
            await parts.take(part, reader.data())
        form = parse_form(parts.fields)
        file = await parts.file_of(form, files, url=str(request.url.replace(query="")))
        yield ReceivedFile(incoming, form, file.filename, file.content_type)


@dataclass(slots=True)
class _Parts:
    incoming: Incoming
    check: Check
    fields: Fields = field(default_factory=dict)
    file: Part | None = None

    async def take(self, part: Part, data: AsyncIterator[bytes]) -> None:
        check_field(part.field)
        if part.filename:
            await self._take_file(part, data)
        else:
            await self._take_field(part.field, data)

    async def file_of(self, form: FileForm, files: JobFiles, *, url: str) -> Part:
        """The file to score, copied now where the form names an object."""
        if (form.source is None) == (self.file is None):
            found = "both" if self.file else "neither"
            raise InvalidField(
                "A job scores either an uploaded `file` or the object that `source` "
                f"names; found {found}: send one of them, for example: "
                f"curl -F model_id=… -F file=@rows.csv {url}"
            )
        if self.file is None:
            assert form.source is not None
            await self.check(form)
            path = files.source(form.source)
            await self.incoming.copy(path)
            return Part(_FILE, path.name)
        return self.file

    async def _take_file(self, part: Part, data: AsyncIterator[bytes]) -> None:
        if part.field != _FILE:
            raise InvalidField(
                f"Field `{part.field}` came as a file: send it as text, and the rows "
                "as `file`."
            )
        if self.file is not None:
            raise InvalidField(
                f"The upload has two files, {self.file.filename[:200]!r} and "
                f"{part.filename[:200]!r}: submit one job for each."
            )
        self.file = part
        if "model_id" in self.fields:
            await self.check(parse_form(self.fields))
        await self.incoming.add(data)

    async def _take_field(self, name: str, data: AsyncIterator[bytes]) -> None:
        limit_bytes = _NAMES_BYTES if name in _NAMES else FIELD_BYTES
        value = await read_field(name, data, limit_bytes)
        if name == _FILE:
            # A form's file input that was left empty comes without a name.
            if value:
                raise InvalidField(
                    "Field `file` came as text: wanted is a file with a file name, in "
                    "curl -F file=@rows.csv with the @."
                )
            return
        if name in self.fields:
            raise InvalidField(f"Field `{name}` came twice: send it once.")
        self.fields[name] = value
