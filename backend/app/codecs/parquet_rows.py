"""Parquet files as bodies and answers."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.codecs.arrow_answers import arrow_table
from app.codecs.arrow_columns import BROKEN, asked_of, check_types
from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.file_options import FileOptions, too_large
from app.codecs.parquet_sizes import Footer, page_sizes, read_footer
from app.codecs.row_answers import answer_headers
from app.errors import InvalidRequest, NotAcceptable

MEDIA_TYPE = "application/vnd.apache.parquet"


@dataclass(frozen=True, slots=True)
class ParquetRows:
    options: FileOptions

    def decode(self, body: bytes, target: Target) -> Asked:
        return asked_of(self._table(body), target, self.options)

    def _table(self, body: bytes) -> Any:
        try:
            footer = read_footer(body)
            if self._is_small(body, footer):
                return _read(body, footer)
        except (*BROKEN, TypeError) as error:
            reason = str(error).partition("\n")[0][:200].rstrip(".")
            raise InvalidRequest(
                f"The body is no valid Parquet file: {reason}."
            ) from None
        raise too_large("The Parquet file", self.options.limit_bytes)

    def _is_small(self, body: bytes, footer: Footer) -> bool:
        """A run of equal values takes no room in a page: so rows, and the values in
        lists, are counted beside the bytes."""
        limit = self.options.limit_bytes
        size, values = 0, footer.rows
        for page in page_sizes(body, footer):
            size += page.inflated_bytes
            values += page.values
            if size > limit or values > limit:
                return False
        return values <= limit


class ParquetAnswer:
    def encode(self, answer: Answer) -> Encoded:
        sink = pa.BufferOutputStream()
        try:
            pq.write_table(arrow_table(answer), sink)
        except pa.ArrowNotImplementedError as error:
            raise NotAcceptable(
                f"The answer has no form in Parquet ({error}); accept another type."
            ) from None
        body = sink.getvalue().to_pybytes()
        return Encoded(body, MEDIA_TYPE, answer_headers(answer))


def _read(body: bytes, footer: Footer) -> Any:
    """Text stays a dictionary where the file has one: a value is held once."""
    text = {chunk.path for chunk in footer.chunks if chunk.is_text}
    file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=sorted(text))
    check_types(file.schema_arrow)
    table = file.read(use_threads=False)
    table.validate(full=True)
    return table
