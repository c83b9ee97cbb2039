"""Rows by feature name to tensors.

Two kinds of model take rows: one whose inputs are each a column (`[N]` or `[N, 1]`),
and one with a single 2-D input whose columns have registered names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.codecs.base import Target
from app.codecs.coercion import CellPlace, dotted, substitutes
from app.codecs.json_tensors import Index, build_tensor
from app.engine.signature import Signature, ValueSpec
from app.engine.tensors import ElementType
from app.engine.value_types import TensorType
from app.engine.values import Array
from app.errors import FieldError, InvalidInput, InvalidRequest, MissingFeatures

Row = Mapping[str, Any]
# Names the place of a row in the body: `features` or `rows[3]`.
RowPlace = Callable[[int], str]

SHOWN_ROWS = 20


@dataclass(frozen=True, slots=True)
class Table:
    tensors: dict[str, Array]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Words:
    """Words for places: of a row, and of a feature in it."""

    row: RowPlace
    _cell: CellPlace

    def cell(self, at: int, name: str) -> str:
        return self._cell(self.row(at), name)


def feature_names(target: Target) -> tuple[str, ...]:
    """The names a row of this model is made of, in the model's order."""
    if takes_columns(target.signature):
        return tuple(spec.name for spec in target.signature.inputs)
    matrix = matrix_input(target.signature)
    if matrix is not None and target.feature_names:
        return target.feature_names
    raise InvalidRequest(_no_rows(target, matrix))


def elements_of(target: Target) -> dict[str, ElementType]:
    """The element type of every feature, in the model's order."""
    names = feature_names(target)
    if takes_columns(target.signature):
        return {spec.name: _element(spec) for spec in target.signature.inputs}
    return dict.fromkeys(names, _element(target.signature.inputs[0]))


def takes_columns(signature: Signature) -> bool:
    return bool(signature.inputs) and all(map(_is_column, signature.inputs))


def matrix_input(signature: Signature) -> ValueSpec | None:
    """The only input, when that is a 2-D tensor."""
    if len(signature.inputs) != 1:
        return None
    spec = signature.inputs[0]
    is_matrix = isinstance(spec.type, TensorType) and len(spec.shape or ()) == 2
    return spec if is_matrix else None


def build_table(
    rows: Sequence[Row], target: Target, place: RowPlace, cell: CellPlace = dotted
) -> Table:
    """One tensor per input, first axis `len(rows)`.

    Raises MissingFeatures with every missing name, InvalidInput naming the row and
    the feature whose value does not fit.
    """
    names = feature_names(target)
    where = _Words(place, cell)
    flat = [_flatten(row, names, where, at) for at, row in enumerate(rows)]
    if target.nulls is not None:
        flat = _without_nulls(flat, substitutes(elements_of(target), target.nulls))
    try:
        if takes_columns(target.signature):
            tensors = _columns(flat, target.signature, where)
        else:
            tensors = _wide(flat, names, target.signature.inputs[0], where)
    except KeyError:
        raise _missing(flat, names, where) from None
    return Table(tensors, _ignored(rows, flat, names))


def _is_column(spec: ValueSpec) -> bool:
    if not isinstance(spec.type, TensorType) or not spec.shape:
        return False
    is_free = not isinstance(spec.shape[0], int)
    return is_free and (len(spec.shape) == 1 or spec.shape[1:] == (1,))


def _no_rows(target: Target, matrix: ValueSpec | None) -> str:
    if matrix is not None:
        return (
            f'The columns of input "{matrix.name}" have no names yet: register '
            f"feature_names with POST /api/v1/models/{target.version_id}/register, "
            f"or send input_data."
        )
    return (
        "This model does not take rows of features: its inputs are neither columns "
        "nor one 2-D tensor. Send input_data with a tensor for every input."
    )


def _flatten(row: Row, names: Sequence[str], where: _Words, at: int) -> Row:
    """A list value of a feature `tags` fills `tags[0]`, `tags[1]`, …"""
    lists = [key for key, value in row.items() if isinstance(value, list)]
    if not lists:
        return row
    flat = dict(row)
    for key in lists:
        if key in names:
            raise InvalidInput(
                f"{where.cell(at, key)}: expected one value, got a list."
            )
        del flat[key]
        flat.update({f"{key}[{i}]": item for i, item in enumerate(row[key])})
    return flat


def _without_nulls(rows: Sequence[Row], fills: Mapping[str, Any]) -> list[Row]:
    """A null, unlike a missing name, may have something that stands for it."""
    return [
        {**row, **{n: fill for n, fill in fills.items() if row.get(n, fill) is None}}
        for row in rows
    ]


def _columns(
    rows: Sequence[Row], signature: Signature, where: _Words
) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for spec in signature.inputs:

        def place(index: Index, name: str = spec.name) -> str:
            return where.cell(index[0] if index else 0, name)

        values = [row[spec.name] for row in rows]
        tensor = build_tensor(values, _element(spec), place)
        is_matrix = len(spec.shape or ()) == 2
        tensors[spec.name] = tensor.reshape(-1, 1) if is_matrix else tensor
    return tensors


def _wide(
    rows: Sequence[Row], names: Sequence[str], spec: ValueSpec, where: _Words
) -> dict[str, Array]:
    def place(index: Index) -> str:
        if len(index) > 1:
            return where.cell(index[0], names[index[1]])
        return where.row(index[0] if index else 0)

    values = [[row[name] for name in names] for row in rows]
    return {spec.name: build_tensor(values, _element(spec), place)}


def _element(spec: ValueSpec) -> ElementType:
    assert isinstance(spec.type, TensorType)
    return spec.type.element


def _missing(
    rows: Sequence[Row], names: Sequence[str], where: _Words
) -> MissingFeatures:
    lacking = {at: [n for n in names if n not in row] for at, row in enumerate(rows)}
    lacking = {at: missing for at, missing in lacking.items() if missing}
    first = next(iter(lacking))
    missing = list(dict.fromkeys(name for some in lacking.values() for name in some))
    rows_lack = f"{where.row(first)} lacks"
    if len(lacking) > 1:
        rows_lack = f"{where.row(first)} and {len(lacking) - 1} more lack"
    return MissingFeatures(
        f"{rows_lack} features that this model needs: {', '.join(missing)}.",
        errors=[
            FieldError(where.cell(at, name), "this feature is missing")
            for at, some in list(lacking.items())[:SHOWN_ROWS]
            for name in some
        ],
    )


def _ignored(
    rows: Sequence[Row], flat: Sequence[Row], names: Sequence[str]
) -> tuple[str, ...]:
    """Names in the rows that are not the model's, in order of appearance."""
    if all(len(row) == len(names) for row in flat):
        return ()
    known = set(names)
    lists = {name.partition("[")[0] for name in names if name.endswith("]")}
    extra: dict[str, None] = {}
    for row in rows:
        for key, value in row.items():
            extra.update(dict.fromkeys(_unused(key, value, known, lists)))
    return tuple(extra)


def _unused(key: str, value: object, known: set[str], lists: set[str]) -> list[str]:
    """A list none of whose elements is the model's is named by its own name."""
    if isinstance(value, list) and key in lists:
        elements = [f"{key}[{i}]" for i in range(len(value))]
        return [name for name in elements if name not in known]
    return [] if key in known else [key]
