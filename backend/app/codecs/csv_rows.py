"""CSV bodies and answers: a header line, then a line per row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import orjson

from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.coercion import Column, in_column
from app.codecs.columns import Sheet, table_of
from app.codecs.csv_text import Records, numbers_of, texts_of
from app.codecs.file_options import FileOptions
from app.codecs.json_values import OPTIONS, jsonable, tensor_json
from app.codecs.row_answers import RowOutput, answer_headers, labels_of, row_outputs
from app.engine.tensors import ElementType
from app.engine.values import Array
from app.errors import NotAcceptable

MEDIA_TYPE = "text/csv"


@dataclass(frozen=True, slots=True)
class CSVRows:
    options: FileOptions

    def decode(self, body: bytes, target: Target) -> Asked:
        records = Records(body)
        at = {name: index for index, name in enumerate(records.names)}

        def read(name: str, element: ElementType) -> Column:
            index = at[name]
            cells = [row[index] for row in records.rows]
            return texts_of(cells) if element.is_string else numbers_of(cells)

        def place(row: int, name: str) -> str:
            return in_column(f"line {records.line_of(row)}", name)

        count = len(records.rows)
        sheet = Sheet(records.names, count, read, place, "line 1")
        return self.options.asked(table_of(sheet, target), count, target)


class CSVAnswer:
    """Vectors are spread over `name[0]`, `name[1]`, …, maps over `name[label]`."""

    def encode(self, answer: Answer) -> Encoded:
        count, outputs = row_outputs(answer)
        names: list[str] = []
        columns: list[Sequence[str]] = []
        for output in outputs:
            for name, cells in _columns(output):
                names.append(quoted(name))
                columns.append(cells)
        lines = [",".join(names)]
        lines += map(",".join, zip(*columns, strict=True)) if columns else [""] * count
        body = "\n".join([*lines, ""]).encode()
        return Encoded(body, f"{MEDIA_TYPE}; charset=utf-8", answer_headers(answer))


def _columns(output: RowOutput) -> Iterator[tuple[str, Sequence[str]]]:
    value, name = output.value, output.name
    if isinstance(value, np.ndarray):
        cells = _cells(value.reshape(-1), name)
        wide = prod(value.shape[1:])
        for at, index in enumerate(np.ndindex(value.shape[1:])):
            place = "".join(f"[{i}]" for i in index)
            yield name + place, cells[at::wide]
        return
    labels = labels_of(output)
    if labels is None:
        yield name, [quoted(_json(item, output)) for item in value]
        return
    for label in labels.names:
        cells = _cells(labels.array_of(label), name)
        has = labels.has(label)
        yield (
            f"{name}[{label}]",
            [cell if there else "" for cell, there in zip(cells, has, strict=True)],
        )


def _json(item: Any, output: RowOutput) -> str:
    return orjson.dumps(jsonable(item, output.item_type), option=OPTIONS).decode()


def _cells(flat: Array, name: str) -> list[str]:
    if flat.dtype == object:
        return [quoted(_as_text(value, name)) for value in flat]
    if not flat.size:
        return []
    text: str = orjson.dumps(tensor_json(flat), option=OPTIONS).decode()
    return text[1:-1].replace('"', "").split(",")


def _as_text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    raise NotAcceptable(
        f'output "{name}" holds bytes that are no UTF-8, which CSV can\'t say; '
        f"accept application/json or application/vnd.apache.arrow.stream."
    )


def quoted(text: str) -> str:
    """Quoted where it must be; the empty string is, nothing is not."""
    if text and not any(c in text for c in ',"\r\n') and text.strip() == text:
        return text
    escaped = text.replace('"', '""')
    return f'"{escaped}"'
