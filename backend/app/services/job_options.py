"""What a file job was asked for, as its row keeps it and callers see it again."""

from dataclasses import dataclass
from typing import Self

import orjson

from app.datasets.base import Included, Recipe
from app.enums import OnError

_ALL = "all"
_NONE = "none"


@dataclass(frozen=True, slots=True)
class JobOptions:
    """`outputs` is None for all of them; `chunk_rows` is what was chosen, by us too."""

    outputs: tuple[str, ...] | None
    include_inputs: str | tuple[str, ...]
    on_error: OnError
    max_failed_rows: int | None
    chunk_rows: int

    @classmethod
    def of(cls, recipe: Recipe, included: Included) -> Self:
        names = _ALL if included.names is None else included.names or _NONE
        return cls(
            outputs=recipe.outputs,
            include_inputs=names,
            on_error=recipe.on_error,
            max_failed_rows=recipe.max_failed_rows,
            chunk_rows=recipe.chunk_rows,
        )

    def to_json(self) -> str:
        return orjson.dumps(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = orjson.loads(text)
        outputs, included = fields["outputs"], fields["include_inputs"]
        return cls(
            outputs=None if outputs is None else tuple(outputs),
            include_inputs=included if isinstance(included, str) else tuple(included),
            on_error=OnError(fields["on_error"]),
            max_failed_rows=fields["max_failed_rows"],
            chunk_rows=fields["chunk_rows"],
        )
