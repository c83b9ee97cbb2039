"""A multipart body that is sent as its file is read, however large."""

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final
from uuid import uuid4

_READ_BYTES: Final = 1 << 18


class FormBody:
    """Fields first, so that the server can judge them before the file has come.

    `size_bytes` of the file is None where only its end tells.
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        file: BinaryIO,
        *,
        name: str,
        head: bytes = b"",
        size_bytes: int | None = None,
        on_sent: Callable[[int], None],
    ) -> None:
        self._boundary = f"mlforge-{uuid4().hex}"
        self._file = file
        self._head = head
        self._size_bytes = size_bytes
        self._on_sent = on_sent
        self.is_sent = False
        parts = [self._field(field, text) for field, text in fields.items()]
        self._before = "".join([*parts, self._file_head(name)]).encode(errors="replace")
        self._after = f"\r\n--{self._boundary}--\r\n".encode()

    @property
    def headers(self) -> dict[str, str]:
        named = {"Content-Type": f"multipart/form-data; boundary={self._boundary}"}
        if self._size_bytes is not None:
            length = len(self._before) + self._size_bytes + len(self._after)
            named["Content-Length"] = str(length)
        return named

    def __iter__(self) -> Iterator[bytes]:
        yield self._before
        block = self._head or self._file.read(_READ_BYTES)
        while block:
            yield block
            self._on_sent(len(block))
            block = self._file.read(_READ_BYTES)
        # From now on the server may make a job of it.
        self.is_sent = True
        yield self._after

    def _field(self, field: str, text: str) -> str:
        return (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n'
        )

    def _file_head(self, name: str) -> str:
        # As browsers write it: HTML, "multipart/form-data encoding algorithm".
        escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        return (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
