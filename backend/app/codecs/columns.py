"""Columns by feature name to tensors, for the formats that hold columns."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.codecs.base import Target
from app.codecs.coercion import Column, coerce, numbers_of, substitutes, without_nulls
from app.codecs.features import Table, elements_of, takes_columns
from app.codecs.json_tensors import Index, Place, build_tensor
from app.engine.tensors import ElementType
from app.engine.values import Array
from app.errors import FieldError, InvalidRequest, MissingFeatures

SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Sheet:
    """A body of columns. `read` gives one of them; `place` words for a value by its
    row, from 0, and column; `header` those for where the names stand."""

    names: tuple[str, ...]
    count: int
    read: Callable[[str, ElementType], Column]
    place: Callable[[int, str], str]
    header: str


def table_of(sheet: Sheet, target: Target) -> Table:
    """One tensor per input, first axis the rows.

    Raises MissingFeatures with every missing name, InvalidInput naming the first row
    and the column whose value does not fit.
    """
    elements = elements_of(target)
    check_names(sheet, elements)
    fills = substitutes(elements, target.nulls)

    def read(name: str, element: ElementType) -> Column:
        return without_nulls(sheet.read(name, element), fills.get(name))

    if takes_columns(target.signature):
        tensors = {
            spec.name: coerce(
                read(spec.name, elements[spec.name]),
                elements[spec.name],
                _place(sheet, spec.name),
            ).reshape((-1,) if len(spec.shape or ()) == 1 else (-1, 1))
            for spec in target.signature.inputs
        }
    else:
        columns = {name: read(name, element) for name, element in elements.items()}
        element = next(iter(elements.values()))
        tensors = {target.signature.inputs[0].name: _matrix(columns, element, sheet)}
    return Table(tensors, tuple(n for n in sheet.names if n not in elements))


def check_names(sheet: Sheet, wanted: dict[str, ElementType]) -> None:
    """Every feature stands there, none twice, and there is a row."""
    given = set(sheet.names)
    if len(given) != len(sheet.names):
        twice = Counter(sheet.names).most_common(1)[0][0][:100]
        raise InvalidRequest(f'{sheet.header}: column "{twice}" stands there twice.')
    missing = [name for name in wanted if name not in given]
    if missing:
        shown = ", ".join(f'"{name[:100]}"' for name in sheet.names[:SHOWN_NAMES])
        more = ", …" if len(sheet.names) > SHOWN_NAMES else ""
        raise MissingFeatures(
            f"{sheet.header} lacks features that this model needs: "
            f"{', '.join(missing)}; its columns are {shown or 'none'}{more}.",
            errors=[FieldError(name, "this feature is missing") for name in missing],
        )
    if not sheet.count:
        raise InvalidRequest("The body holds no rows; send at least one.")


def _place(sheet: Sheet, name: str) -> Place:
    def place(index: Index) -> str:
        return sheet.place(index[0] if index else 0, name)

    return place


def _matrix(columns: dict[str, Column], element: ElementType, sheet: Sheet) -> Array:
    """As nested lists of rows would give it: numbers meet in one numpy type first."""
    names = list(columns)
    if not element.is_float:
        casts = [coerce(columns[n], element, _place(sheet, n)) for n in names]
        return np.stack(casts, axis=1)
    numbers = [numbers_of(columns[n], _place(sheet, n)) for n in names]
    wide = np.empty((sheet.count, len(names)), dtype=np.result_type(*numbers))
    for at, column in enumerate(numbers):
        wide[:, at] = column

    def place(index: Index) -> str:
        return sheet.place(index[0], names[index[1]])

    return build_tensor(wide, element, place)
