"""The parts of a `multipart/form-data` body, pulled one by one as it comes."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import InvalidRequest, PayloadTooLarge

_MAX_PARTS = 32


@dataclass(frozen=True, slots=True)
class Part:
    """`filename` is without folders; empty for a plain field."""

    field: str
    filename: str
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class _PartEnd:
    pass


class PartReader:
    """Call `next_part`, then read `data` to its end, and so on until None.

    Holds what one chunk of the body contains, and no more.
    """

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        self._body = body
        self._events: deque[Part | bytes | _PartEnd] = deque()
        self._heads = _HeadReader()
        self._parts = 0
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._heads.on_field,
                    "on_header_value": self._heads.on_value,
                    "on_header_end": self._heads.on_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _malformed(error) from error

    async def next_part(self) -> Part | None:
        event = await self._next_event()
        if event is None or isinstance(event, Part):
            return event
        raise RuntimeError("read a part to its end before the next")

    async def data(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next_event(), bytes):
            yield event

    async def _next_event(self) -> Part | bytes | _PartEnd | None:
        while not self._events:
            chunk = await anext(self._body, None)
            if chunk is None:
                self._check_complete()
                return None
            self._feed(chunk)
        return self._events.popleft()

    def _feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(error) from error

    def _check_complete(self) -> None:
        if not self._ended:
            raise InvalidRequest(
                "The upload ends in the middle, before the closing boundary: send the "
                "whole multipart/form-data body."
            )

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise PayloadTooLarge(
                f"The upload has more than {_MAX_PARTS} parts: send the files and fields "
                "of one upload, and no more."
            )

    def _on_headers_finished(self) -> None:
        self._events.append(self._heads.take())

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _on_part_end(self) -> None:
        self._events.append(_PartEnd())

    def _on_end(self) -> None:
        self._ended = True


class _HeadReader:
    """The headers of one part; the parser bounds their number and size."""

    def __init__(self) -> None:
        self._field = bytearray()
        self._value = bytearray()
        self._disposition = ""
        self._content_type = ""

    def on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_end(self) -> None:
        match bytes(self._field.lower()):
            case b"content-disposition":
                self._disposition = self._value.decode("latin-1")
            case b"content-type":
                self._content_type = self._value.decode("latin-1")
        self._field.clear()
        self._value.clear()

    def take(self) -> Part:
        kind, options = parse_options_header(self._disposition)
        content_type = self._content_type
        self._disposition = self._content_type = ""
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise InvalidRequest(
                "A part of the upload has no field name: every part needs the header "
                'Content-Disposition: form-data; name="…".'
            )
        filename = _text(options.get(b"filename", b""))
        base = filename.replace("\\", "/").rpartition("/")[2]
        return Part(_text(name), base, content_type)


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="replace")


def _malformed(error: FormParserError) -> InvalidRequest:
    return InvalidRequest(
        f"The upload is no valid multipart/form-data body ({error}): let an HTTP "
        "library or curl -F build it, with its own Content-Type header."
    )
