"""A model's inputs and outputs: their names, types and shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np

from app.engine.tensors import find_element
from app.engine.value_types import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
    parse_type,
)
from app.engine.values import Array, Tensors
from app.errors import InvalidInput

__all__ = [
    "Dim",
    "MapType",
    "OptionalType",
    "SequenceType",
    "Shape",
    "Signature",
    "TensorType",
    "ValueSpec",
    "ValueType",
    "check_inputs",
    "describe",
    "describe_value",
    "parse_type",
]

Dim: TypeAlias = int | str | None
Shape: TypeAlias = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """One input or output. `shape` is None for no tensor or an unknown rank."""

    name: str
    type: ValueType
    shape: Shape | None
    # What a check of a tensor needs, worked out once: it runs per prediction.
    numpy_dtype: np.dtype[Any] | None = field(init=False, repr=False, compare=False)
    fixed_dims: tuple[tuple[int, int], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        is_tensor = isinstance(self.type, TensorType)
        dtype = self.type.element.dtype if isinstance(self.type, TensorType) else None
        dims = enumerate(self.shape or () if is_tensor else ())
        fixed = tuple((axis, dim) for axis, dim in dims if isinstance(dim, int))
        object.__setattr__(self, "numpy_dtype", dtype)
        object.__setattr__(self, "fixed_dims", fixed)

    @property
    def dtype(self) -> str:
        """The contract's name of the type: `float32`, `seq(map(int64,float32))`."""
        return str(self.type)

    @property
    def is_optional(self) -> bool:
        return isinstance(self.type, OptionalType)

    def as_json(self) -> dict[str, Any]:
        shape = None if self.shape is None else list(self.shape)
        return {"name": self.name, "dtype": self.dtype, "shape": shape}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        shape = data["shape"]
        dims = None if shape is None else tuple(shape)
        return cls(data["name"], parse_type(data["dtype"]), dims)


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a model, in the model's order."""

    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]
    inputs_by_name: Mapping[str, ValueSpec] = field(
        init=False, repr=False, compare=False
    )
    outputs_by_name: Mapping[str, ValueSpec] = field(
        init=False, repr=False, compare=False
    )
    # Whether each of several inputs is a column of one table.
    is_table: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        inputs = {spec.name: spec for spec in self.inputs}
        outputs = {spec.name: spec for spec in self.outputs}
        object.__setattr__(self, "inputs_by_name", inputs)
        object.__setattr__(self, "outputs_by_name", outputs)
        object.__setattr__(self, "is_table", _is_table(self.inputs))

    def input(self, name: str) -> ValueSpec:
        """KeyError if the model has no such input."""
        return self.inputs_by_name[name]

    def output(self, name: str) -> ValueSpec:
        """KeyError if the model has no such output."""
        return self.outputs_by_name[name]

    @classmethod
    def from_json(
        cls, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> Self:
        return cls(
            tuple(map(ValueSpec.from_json, inputs)),
            tuple(map(ValueSpec.from_json, outputs)),
        )


def describe(spec: ValueSpec) -> str:
    """For messages: `float32 [N, 4]`; an unnamed free dimension is `?`."""
    if spec.shape is None:
        any_shape = isinstance(spec.type, TensorType)
        return f"{spec.dtype} of any shape" if any_shape else spec.dtype
    dims = ", ".join("?" if dim is None else str(dim) for dim in spec.shape)
    return f"{spec.dtype} [{dims}]"


def check_inputs(signature: Signature, inputs: Tensors) -> None:
    """InvalidInput naming the input, what came and what is wanted.

    Symbolic dimensions may disagree between inputs, for models need not enforce them;
    only columns of one table must have equally many rows.
    """
    if inputs.keys() != signature.inputs_by_name.keys():
        _check_names(signature, inputs)
    for name, value in inputs.items():
        spec = signature.inputs_by_name[name]
        if not isinstance(value, np.ndarray) or spec.numpy_dtype is None:
            _check_nested(spec, spec.type, value)
        elif value.dtype != spec.numpy_dtype and not _is_element(spec.type, value):
            raise _mismatch(spec, value)
        elif spec.shape is not None:
            _check_shape(spec, spec.shape, value)
    if signature.is_table:
        _check_rows(inputs)


def _is_table(inputs: Sequence[ValueSpec]) -> bool:
    rows = {spec.shape[0] if _is_column(spec) and spec.shape else 0 for spec in inputs}
    return len(inputs) > 1 and len(rows) == 1 and 0 not in rows


def _is_column(spec: ValueSpec) -> bool:
    if not isinstance(spec.type, TensorType) or spec.shape is None:
        return False
    match spec.shape:
        case (str() | None, 1):
            return True
        case _:
            return False


def _check_rows(columns: Tensors) -> None:
    rows = {name: len(v) for name, v in columns.items() if isinstance(v, np.ndarray)}
    first, *others = rows
    for name in others:
        if rows[name] != rows[first]:
            raise InvalidInput(
                f'inputs "{first}" and "{name}" have {rows[first]} and {rows[name]} '
                "rows; all inputs of this model need the same number"
            )


def _check_shape(spec: ValueSpec, shape: Shape, array: Array) -> None:
    given = array.shape
    if len(given) != len(shape):
        raise _mismatch(spec, array)
    for axis, dim in spec.fixed_dims:
        if given[axis] != dim:
            raise _mismatch(spec, array)


def _check_names(signature: Signature, inputs: Tensors) -> None:
    for name in inputs:
        if name not in signature.inputs_by_name:
            wanted = ", ".join(f'"{spec.name}"' for spec in signature.inputs)
            raise InvalidInput(
                f'the model has no input "{name}"; its inputs are {wanted}'
                if wanted
                else f'the model has no input "{name}"; it takes none'
            )
    missing = [
        spec
        for spec in signature.inputs
        if spec.name not in inputs and not spec.is_optional
    ]
    if len(missing) == 1:
        raise InvalidInput(
            f'input "{missing[0].name}" is missing; the model wants '
            f"{describe(missing[0])}"
        )
    if missing:
        *others, last = (f'"{spec.name}" ({describe(spec)})' for spec in missing)
        wanted = f"{', '.join(others)} and {last}"
        raise InvalidInput(f"inputs are missing; the model wants {wanted}")


def _check_nested(spec: ValueSpec, wanted: ValueType, value: object) -> None:
    """A value of a type other than tensor, or a value that should be a tensor."""
    match wanted:
        case OptionalType(of=inner):
            if value is not None:
                _check_nested(spec, inner, value)
        case SequenceType(of=inner):
            if not isinstance(value, list):
                raise _mismatch(spec, value)
            for item in value:
                _check_nested(spec, inner, item)
        case MapType():
            _check_map(spec, wanted, value)
        case TensorType():
            if not isinstance(value, np.ndarray) or not _is_element(wanted, value):
                raise _mismatch(spec, value)


def _check_map(spec: ValueSpec, wanted: MapType, value: object) -> None:
    if not isinstance(value, dict):
        raise _mismatch(spec, value)
    if not value:
        raise InvalidInput(
            f'input "{spec.name}": ONNX Runtime takes no empty map; give one key at least'
        )
    kinds = {str} if wanted.key.is_string else {int}
    strays = [key for key in value if type(key) not in kinds]
    if strays:
        raise InvalidInput(
            f'input "{spec.name}": expected {spec.dtype}, got the key {strays[0]!r}'
        )


def _is_element(wanted: ValueType, array: Array) -> bool:
    """Whether the array holds the wanted elements in this machine's byte order.

    numpy's fixed-width strings pass where strings are wanted.
    """
    return (
        isinstance(wanted, TensorType)
        and array.dtype.isnative
        and find_element(array.dtype) is wanted.element
    )


def _mismatch(spec: ValueSpec, value: object) -> InvalidInput:
    return InvalidInput(
        f'input "{spec.name}": expected {describe(spec)}, got {describe_value(value)}'
    )


def describe_value(value: object) -> str:
    """For messages: `int64 [2, 3]`, `a list`, `null`."""
    if isinstance(value, np.ndarray):
        element = find_element(value.dtype)
        name = value.dtype.name if element is None else element.name
        order = "" if value.dtype.isnative else "byte-swapped "
        return f"{order}{name} {list(value.shape)}"
    names = {list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), f"a value of type {type(value).__name__}")
