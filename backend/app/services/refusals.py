"""Refuses what a caller says about a version, and names the field."""

from app.errors import FieldError, InvalidField


def refused(loc: str, detail: str) -> InvalidField:
    return InvalidField(detail, errors=[FieldError(loc, detail)])
