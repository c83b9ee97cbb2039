"""NDJSON bodies and answers: a JSON object a line, a line per row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.coercion import in_column
from app.codecs.features import Row, build_table
from app.codecs.file_options import FileOptions
from app.codecs.json_values import OPTIONS, jsonable, rows_json
from app.codecs.row_answers import RowOutput, answer_headers, row_outputs
from app.errors import InvalidJSON, InvalidRequest

MEDIA_TYPE = "application/x-ndjson"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class NDJSONRows:
    options: FileOptions

    def decode(self, body: bytes, target: Target) -> Asked:
        rows: list[Row] = []
        lines: list[int] = []
        for number, line in enumerate(body.removeprefix(_BOM).split(b"\n"), 1):
            if line and not line.isspace():
                rows.append(_row(line, number))
                lines.append(number)
        if not rows:
            raise InvalidRequest("The body holds no rows; send at least one.")

        def place(at: int) -> str:
            return f"line {lines[at]}"

        table = build_table(rows, target, place, in_column)
        return self.options.asked(table, len(rows), target)


class NDJSONAnswer:
    def encode(self, answer: Answer) -> Encoded:
        count, outputs = row_outputs(answer)
        names = [output.name for output in outputs]
        columns = [_items(output) for output in outputs]
        rows = zip(*columns, strict=True) if columns else [()] * count
        lines = [
            orjson.dumps(dict(zip(names, row, strict=True)), option=OPTIONS)
            for row in rows
        ]
        body = b"\n".join([*lines, b""])
        return Encoded(body, MEDIA_TYPE, answer_headers(answer))


def _row(line: bytes, number: int) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        reason = str(error).partition(": line ")[0]
        raise InvalidJSON(f"line {number} is no valid JSON: {reason}.") from None
    if not isinstance(row, dict):
        raise InvalidRequest(
            f"line {number} must be an object of feature names and values."
        )
    return row


def _items(output: RowOutput) -> list[Any]:
    if isinstance(output.value, np.ndarray):
        return rows_json(output.value)
    return [jsonable(item, output.item_type) for item in output.value]
