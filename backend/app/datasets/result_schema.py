"""The columns of a result: the inputs that it repeats, the outputs, and the error."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any, Final, Self

import numpy as np
import orjson
import pyarrow as pa

from app.codecs.arrow_answers import arrow_element
from app.datasets.base import Recipe
from app.engine.tensors import BY_NAME, ElementType

_KEY: Final = b"mlforge"

Label = str | int


class Form(StrEnum):
    """A number or text, or lists of them; a map of known labels; or JSON text."""

    TENSOR = "tensor"
    MAP = "map"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """`name` is the column's, `output` the model's. `shape` is that of one row."""

    name: str
    output: str
    form: Form
    element: str = ""
    shape: tuple[int, ...] = ()
    labels: tuple[Label, ...] = ()

    @property
    def type(self) -> Any:
        if self.form is Form.JSON:
            return pa.string()
        inner = arrow_element(self.element_type)
        if self.form is Form.MAP:
            return pa.struct([(str(label), inner) for label in self.labels])
        for _ in self.shape:
            inner = pa.large_list(inner)
        return inner

    @property
    def element_type(self) -> ElementType:
        return BY_NAME[self.element]

    def csv_names(self) -> list[str]:
        """Of the cells that it is spread over."""
        if self.form is Form.MAP:
            return [f"{self.name}[{label}]" for label in self.labels]
        places = ("".join(f"[{i}]" for i in at) for at in np.ndindex(self.shape))
        return [self.name + place for place in places]

    def width(self) -> int:
        return len(self.labels) if self.form is Form.MAP else prod(self.shape)

    def field(self) -> Any:
        told = {
            "output": self.output,
            "form": self.form,
            "element": self.element,
            "shape": self.shape,
            "labels": self.labels,
        }
        return pa.field(self.name, self.type, metadata={_KEY: orjson.dumps(told)})

    @classmethod
    def from_field(cls, field: Any) -> Self:
        told = orjson.loads(field.metadata[_KEY])
        return cls(
            field.name,
            told["output"],
            Form(told["form"]),
            told["element"],
            tuple(told["shape"]),
            tuple(told["labels"]),
        )


@dataclass(frozen=True, slots=True)
class ResultSchema:
    """`arrow` holds all of it; `inputs`, `outputs` and `error` are its parts."""

    arrow: Any
    inputs: tuple[Any, ...]
    outputs: tuple[OutputColumn, ...]
    error: str

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        arrow = pa.ipc.read_schema(pa.py_buffer(recipe.schema))
        fields = list(arrow)
        inputs, outputs = len(recipe.included), len(recipe.widths)
        columns = map(OutputColumn.from_field, fields[inputs : inputs + outputs])
        return cls(arrow, tuple(fields[:inputs]), tuple(columns), fields[-1].name)

    @classmethod
    def build(cls, inputs: Sequence[Any], outputs: Sequence[OutputColumn]) -> Self:
        """Names that the inputs have already get another one."""
        taken = {field.name for field in inputs}
        columns = [_renamed(column, taken) for column in outputs]
        taken |= {column.name for column in columns}
        error = "error"
        while error in taken:
            error = f"row_{error}"
        fields = [*inputs, *(column.field() for column in columns)]
        arrow = pa.schema([*fields, pa.field(error, pa.string())])
        return cls(arrow, tuple(inputs), tuple(columns), error)

    def message(self) -> bytes:
        return bytes(self.arrow.serialize().to_pybytes())

    def csv_names(self) -> list[str]:
        names = [field.name for field in self.inputs]
        for column in self.outputs:
            names += column.csv_names()
        return [*names, self.error]


def _renamed(column: OutputColumn, taken: set[str]) -> OutputColumn:
    name = column.name
    while not taken.isdisjoint({column.name, *column.csv_names()}):
        name = f"output.{name}"
        column = OutputColumn(
            name,
            column.output,
            column.form,
            column.element,
            column.shape,
            column.labels,
        )
    return column
