"""Rows as text: what is held of them at once."""

import pyarrow as pa

from app.datasets.limits import MIB
from app.datasets.result_schema import ResultSchema
from app.datasets.result_text import text_pieces
from app.enums import FileFormat


def test_a_long_name_is_repeated_for_a_few_rows_at_a_time() -> None:
    schema = ResultSchema.build([pa.field("n" * MIB, pa.int64())], ())
    batch = pa.record_batch([range(80), [None] * 80], schema=schema.arrow)
    pieces = list(text_pieces(batch, schema, FileFormat.NDJSON, None))
    assert max(map(len, pieces)) < 40 * MIB
    assert sum(piece.count(b"\n") for piece in pieces) == 80
