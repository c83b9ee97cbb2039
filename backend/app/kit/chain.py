"""A chain of hashes: each record's is over what it holds and the one before it."""

import hashlib
import json
from collections.abc import Sequence
from typing import Final

# What the first record follows.
GENESIS: Final = "0" * 64
_FORM: Final = "mlforge-audit-1"

Value = str | int | None


def link(previous: str, values: Sequence[Value]) -> str:
    """The hash of the record that holds `values` and follows `previous`.

    SHA-256 over one JSON array without white space, in ASCII, so that every tool can
    do the same.
    """
    text = json.dumps([_FORM, previous, *values], separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
