"""How a made input differs each time: a number that counts up in its first elements.

A cache knows none of the inputs then, and all of them cost the same. What is written
has the same length for every count, so that a request is its head, this and its tail.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.engine.values import Array

FLOATS: Final = {"FP32": "<f", "FP64": "<d"}
INTEGERS: Final = {
    f"{sign}INT{bits}": np.dtype(f"<{kind}{bits // 8}")
    for sign, kind in (("", "i"), ("U", "u"))
    for bits in (8, 16, 32, 64)
}
_DIGITS: Final = 7


@dataclass(frozen=True, slots=True)
class Variation:
    """`width` elements of a tensor; none where its type has no room to vary."""

    datatype: str
    width: int
    text: str = ""

    @property
    def distinct(self) -> int:
        """How many counts give different inputs."""
        return int(10 ** _digits(self))

    def json(self, count: int) -> bytes:
        """The elements as JSON, commas between them."""
        digits = b"%0*d" % (_digits(self), count % self.distinct)
        if self.datatype in INTEGERS:
            return b",".join(bytes([digit]) for digit in digits)
        if self.datatype == "BYTES":
            return b'"%b %b"' % (_escaped(self.text), digits)
        return b"0.%b" % digits

    def raw(self, count: int) -> bytes:
        """The elements as the protocol's binary tensors hold them."""
        count %= self.distinct
        if self.datatype in FLOATS:
            return struct.pack(FLOATS[self.datatype], count / self.distinct)
        digits = b"%0*d" % (_digits(self), count)
        if self.datatype == "BYTES":
            element = b"%b %b" % (self.text.encode(), digits)
            return len(element).to_bytes(4, "little") + element
        numbers = np.frombuffer(digits, np.uint8) - ord("0")
        return numbers.astype(INTEGERS[self.datatype]).tobytes()


def variation_of(datatype: str, array: Array, text: str) -> Variation | None:
    """None where inputs of this type can't be told apart for long."""
    if array.size == 0:
        return None
    if datatype in FLOATS or datatype == "BYTES":
        return Variation(datatype, 1, text)
    if datatype in INTEGERS and array.ndim:
        return Variation(datatype, min(array.shape[-1], _DIGITS))
    return None


def _digits(variation: Variation) -> int:
    return variation.width if variation.datatype in INTEGERS else _DIGITS


def _escaped(text: str) -> bytes:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return quoted.encode()
