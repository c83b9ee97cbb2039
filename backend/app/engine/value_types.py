"""Types of what flows through a model, read from and written as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from app.engine.tensors import BY_NAME, BY_ONNX, ElementType


@dataclass(frozen=True, slots=True)
class TensorType:
    element: ElementType

    def __str__(self) -> str:
        return self.element.name


@dataclass(frozen=True, slots=True)
class SequenceType:
    of: "ValueType"

    def __str__(self) -> str:
        return f"seq({self.of})"


@dataclass(frozen=True, slots=True)
class MapType:
    key: ElementType
    value: "ValueType"

    def __str__(self) -> str:
        return f"map({self.key.name},{self.value})"


@dataclass(frozen=True, slots=True)
class OptionalType:
    of: "ValueType"

    def __str__(self) -> str:
        return f"optional({self.of})"


ValueType: TypeAlias = TensorType | SequenceType | MapType | OptionalType


def parse_type(text: str) -> ValueType:
    """The type written as ONNX Runtime or the contract writes it.

    `tensor(float)` and `float32` are one type; ValueError on anything unknown.
    """
    head, _, rest = text.partition("(")
    inner = rest.removesuffix(")")
    match head:
        case "tensor":
            return TensorType(_element(BY_ONNX, inner))
        case "seq":
            return SequenceType(parse_type(inner))
        case "optional":
            return OptionalType(parse_type(inner))
        case "map":
            key, _, value = inner.partition(",")
            # The names of key types, integers and strings, are the same in both.
            return MapType(_element(BY_NAME, key), parse_type(value))
        case _:
            return TensorType(_element(BY_NAME, text))


def _element(known: Mapping[str, ElementType], name: str) -> ElementType:
    if name not in known:
        raise ValueError(f"values of type {name} are not supported")
    return known[name]
