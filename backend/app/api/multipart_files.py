"""Which of the uploaded files is the graph, and what the others are called."""

from collections.abc import Sequence

from app.api.multipart_parts import Part
from app.artifacts.store import MODEL_FILE, check_companion_name
from app.errors import InvalidField

_MODEL_FIELDS = ("file", "model")
_COMPANION_FIELDS = ("data", "external_data")
FILE_FIELDS = _MODEL_FIELDS + _COMPANION_FIELDS


def name_files(parts: Sequence[Part]) -> list[str]:
    """The stored name of each file, in the same order.

    May be asked while files still come: a refusal stays one whatever follows.
    """
    for part in parts:
        if part.field not in FILE_FIELDS:
            raise InvalidField(
                f"The upload has a file in field `{part.field[:200]}`: send the model as "
                "`file`, and its external data, if it has any, as `data`."
            )
    graph = _find_graph(parts)
    names = [
        MODEL_FILE if index == graph else _companion_name(part)
        for index, part in enumerate(parts)
    ]
    for name in names:
        if names.count(name) > 1:
            raise InvalidField(
                f"Two files of the upload are named {name!r}: send each file once."
            )
    return names


def _find_graph(parts: Sequence[Part]) -> int | None:
    candidates = [i for i, part in enumerate(parts) if part.field in _MODEL_FIELDS]
    graphs = [i for i in candidates if _ends(parts[i], ".onnx")]
    if len(graphs) > 1:
        raise InvalidField(
            f"The upload has two models, {parts[graphs[0]].filename[:200]!r} and "
            f"{parts[graphs[1]].filename[:200]!r}: send one model per upload."
        )
    others = [i for i in candidates if not _ends(parts[i], ".data")]
    return next(iter(graphs or others or candidates), None)


def _companion_name(part: Part) -> str:
    check_companion_name(part.filename)
    return part.filename


def _ends(part: Part, suffix: str) -> bool:
    return part.filename.lower().endswith(suffix)
