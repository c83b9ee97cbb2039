"""Arrow IPC streams as bodies and answers."""

import struct
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from app.codecs.arrow_answers import arrow_table
from app.codecs.arrow_columns import BROKEN, asked_of, check_types
from app.codecs.arrow_sizes import inflated_bytes
from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.file_options import FileOptions, too_large
from app.codecs.row_answers import answer_headers
from app.errors import InvalidRequest

MEDIA_TYPE = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, slots=True)
class ArrowRows:
    options: FileOptions

    def decode(self, body: bytes, target: Target) -> Asked:
        return asked_of(self._table(body), target, self.options)

    def _table(self, body: bytes) -> Any:
        try:
            size = inflated_bytes(body)
            if size <= self.options.limit_bytes:
                return _read(body)
        except (*BROKEN, struct.error) as error:
            raise InvalidRequest(
                f"The body is no valid Arrow IPC stream: {_first_line(error)}."
            ) from None
        raise too_large("The Arrow stream", self.options.limit_bytes)


class ArrowAnswer:
    def encode(self, answer: Answer) -> Encoded:
        table = arrow_table(answer)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = sink.getvalue().to_pybytes()
        return Encoded(body, MEDIA_TYPE, answer_headers(answer))


def _read(body: bytes) -> Any:
    reader = pa.ipc.open_stream(pa.BufferReader(body))
    check_types(reader.schema)
    table = reader.read_all()
    table.validate(full=True)
    return table


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".")
