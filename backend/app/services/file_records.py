"""How a file job's lists are kept in its rows: as JSON text, short and ordered."""

from collections.abc import Iterable, Sequence

import orjson

from app.datasets.base import ResultFile, RowError


def errors_to_json(errors: Iterable[RowError]) -> str:
    return orjson.dumps([[e.line, e.column, e.reason] for e in errors]).decode()


def errors_from_json(text: str | None) -> Sequence[RowError]:
    return tuple(RowError(*fields) for fields in orjson.loads(text or "[]"))


def files_to_json(files: Iterable[ResultFile]) -> str:
    fields = [[f.name, f.media_type, f.size_bytes, f.sha256] for f in files]
    return orjson.dumps(fields).decode()


def files_from_json(text: str | None) -> Sequence[ResultFile]:
    return tuple(ResultFile(*fields) for fields in orjson.loads(text or "[]"))
