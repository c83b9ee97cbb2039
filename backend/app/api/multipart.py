"""Model uploads: `multipart/form-data` streamed into a staging folder."""

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from app.api.multipart_body import boundary_of, bounded_body
from app.api.multipart_fields import FIELD_BYTES, read_field
from app.api.multipart_files import FILE_FIELDS, name_files
from app.api.multipart_parts import Part, PartReader
from app.artifacts.store import MODEL_FILE, ArtifactStore, Staging
from app.errors import InvalidField

_METADATA_BYTES = 1 << 20
_ADVICE = "send a smaller model, or raise MAX_UPLOAD_MB on the server"


@dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """`filename` is the graph's as the client calls it: never use it as a path."""

    staging: Staging
    filename: str
    fields: dict[str, str]


@asynccontextmanager
async def receive_upload(
    request: Request,
    store: ArtifactStore,
    *,
    limit_bytes: int,
    idle_timeout_s: float,
) -> AsyncIterator[ReceivedUpload]:
    """Takes in the whole body; what was staged is gone on exit unless committed.

    The graph is the file sent as `file` or `model`; `data`, `external_data` and
    further files are its companions. About 2 MiB are in memory at any time.
    """
    boundary = boundary_of(request)
    body = bounded_body(
        request, limit_bytes, idle_timeout_s=idle_timeout_s, advice=_ADVICE
    )
    async with aclosing(body), store.stage() as staging:
        form = _Form(staging)
        reader = PartReader(body, boundary)
        while (part := await reader.next_part()) is not None:
            await form.take(part, reader.data())
        filename = await form.finish(str(request.url.replace(query="")))
        yield ReceivedUpload(staging, filename, form.fields)


class _Form:
    """Files go to the staging under neutral names until all of them are known."""

    def __init__(self, staging: Staging) -> None:
        self.fields: dict[str, str] = {}
        self._staging = staging
        self._files: list[Part] = []
        self._staged: list[str] = []

    async def take(self, part: Part, data: AsyncIterator[bytes]) -> None:
        if part.filename:
            await self._take_file(part, data)
        else:
            await self._take_field(part, data)

    async def finish(self, url: str) -> str:
        """Gives every file its name, and the graph's name at the client."""
        names = name_files(self._files)
        if MODEL_FILE not in names:
            raise InvalidField(
                "The upload has no model file: send it as the form field `file`, for "
                f"example: curl -F file=@model.onnx {url}"
            )
        for staged, name in zip(self._staged, names, strict=True):
            await self._staging.rename(staged, name)
        return self._files[names.index(MODEL_FILE)].filename

    async def _take_file(self, part: Part, data: AsyncIterator[bytes]) -> None:
        self._files.append(part)
        name_files(self._files)  # Refuses before gigabytes have come.
        staged = uuid.uuid4().hex
        file = await self._staging.add(staged, data)
        if file.size_bytes == 0:
            raise InvalidField(
                f"The file {part.filename[:200]!r} of field `{part.field}` is empty: "
                "check that it was written, then upload it again."
            )
        self._staged.append(staged)

    async def _take_field(self, part: Part, data: AsyncIterator[bytes]) -> None:
        limit = _METADATA_BYTES if part.field == "metadata" else FIELD_BYTES
        value = await read_field(part.field, data, limit)
        if part.field in FILE_FIELDS:
            # A form's file input that was left empty comes without a name.
            if value:
                raise InvalidField(
                    f"Field `{part.field}` came as text: wanted is a file with a file "
                    f"name, in curl -F {part.field}=@model.onnx with the @."
                )
            return
        if part.field in self.fields:
            raise InvalidField(f"Field `{part.field}` came twice: send it once.")
        self.fields[part.field] = value
