"""The rows that a column alone refuses, all of them at once.

To look for them row by row takes a hundred times as long. Whatever looks odd here is
coerced alone, so that it is refused as predict would refuse it, or not at all.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from app.codecs.base import Target
from app.codecs.coercion import (
    Column,
    coerce,
    in_column,
    numbers_of,
    substitutes,
    without_nulls,
)
from app.codecs.features import elements_of, takes_columns
from app.codecs.json_tensors import limits_of
from app.datasets.blocks import THE_ROW, Fault, fault_of
from app.engine.tensors import ElementType
from app.errors import InvalidInput

Read = Callable[[str, ElementType], Column]

_NUMBERS: Final = frozenset({int, float, bool})


def cell_faults(read: Read, target: Target) -> dict[int, Fault]:
    """By row. Not every row that is refused is among them."""
    elements = elements_of(target)
    fills = substitutes(elements, target.nulls)
    columns = {
        name: without_nulls(read(name, element), fills.get(name))
        for name, element in elements.items()
    }
    element = next(iter(elements.values()))
    faults: dict[int, Fault] = {}
    # In one matrix, all are numbers before the first of them is cast.
    if not takes_columns(target.signature) and element.is_float:
        for name, column in columns.items():
            _collect(name, column, None, faults)
    for name, column in columns.items():
        _collect(name, column, elements[name], faults)
    return faults


def _collect(
    name: str, column: Column, element: ElementType | None, faults: dict[int, Fault]
) -> None:
    for at, value in _odd(column, element):
        if at not in faults:
            fault = _refusal(name, value, element)
            if fault is not None:
                faults[at] = fault


def _odd(column: Column, element: ElementType | None) -> Iterator[tuple[int, Any]]:
    values = column.tolist() if isinstance(column, np.ndarray) else column
    if element is not None and element.is_string:
        return ((at, v) for at, v in enumerate(values) if type(v) is not str)
    if element is None or element.name == "bool":
        return (
            (at, v)
            for at, v in enumerate(values)
            if type(v) not in _NUMBERS or (element is not None and v not in (0, 1))
        )
    if not element.is_float:
        low, high = limits_of(element)
        return (
            (at, v)
            for at, v in enumerate(values)
            if type(v) is not int or not low <= v <= high
        )
    if not element.native:
        return iter(())
    most = float(np.finfo(element.dtype).max)
    return (
        (at, v)
        for at, v in enumerate(values)
        if type(v) not in _NUMBERS or not -most <= v <= most
    )


def _refusal(name: str, value: Any, element: ElementType | None) -> Fault | None:
    def place(_: object) -> str:
        return in_column(THE_ROW, name)

    try:
        if element is None:
            numbers_of([value], place)
        else:
            coerce([value], element, place)
    except InvalidInput as error:
        return fault_of(error)
    return None
