"""Some lines of NDJSON, as the bytes they are."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.text_pieces import Piece
from app.engine.values import Array

_NEWLINE: Final = ord("\n")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_SPACE: Final = np.zeros(256, dtype=np.bool_)
_SPACE[list(b" \t\n\r\v\f")] = True


@dataclass(frozen=True, slots=True)
class Lines:
    """`starts` and `ends` say where in `data` each of them stands, with its newline;
    `numbers` where in the file."""

    data: bytes
    starts: Array
    ends: Array
    numbers: Array

    def some(self, start: int, stop: int) -> "Lines":
        base, end = int(self.starts[start]), int(self.ends[stop - 1])
        return Lines(
            self.data[base:end],
            self.starts[start:stop] - base,
            self.ends[start:stop] - base,
            self.numbers[start:stop],
        )

    def texts(self) -> list[bytes]:
        """Each without its newline."""
        places = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.data[start:end].removesuffix(b"\n") for start, end in places]

    def are_regular(self) -> bool:
        """Whether they are all there is, and each begins and ends with a brace, as
        almost all do."""
        codes = np.frombuffer(self.data, np.uint8)
        is_gapless = self.starts[0] == 0 and (self.starts[1:] == self.ends[:-1]).all()
        if not is_gapless or (self.ends - self.starts < len("{}\n")).any():
            return False
        return bool(
            (codes[self.starts] == _OPEN).all()
            and (codes[self.ends - 1] == _NEWLINE).all()
            and (codes[self.ends - 2] == _CLOSE).all()
            and not _SPACE[codes[self.ends - 3]].any()
        )

    def opened(self) -> Any:
        """Of lines that are regular and objects, each up to its last brace."""
        offsets = np.append(self.starts, len(self.data)).astype(np.int32)
        buffers = (None, pa.py_buffer(offsets), pa.py_buffer(self.data))
        whole = pa.Array.from_buffers(pa.binary(), len(self.starts), buffers)
        return pc.binary_slice(whole, 0, -len("}\n")).view(pa.string())


def filled_lines(piece: Piece) -> Lines:
    """Those that hold more than white space, the last one with a newline too."""
    data, ends = piece.data, piece.ends.records
    starts, numbers = piece.starts(), piece.lines()
    if not data.endswith(b"\n"):
        data, ends = data + b"\n", np.append(ends[:-1], ends[-1] + 1)
    filled = np.ones(len(starts), dtype=np.bool_)
    codes = np.frombuffer(data, np.uint8)
    for at in np.flatnonzero(_SPACE[codes[starts]]).tolist():
        filled[at] = not data[int(starts[at]) : int(ends[at])].isspace()
    return Lines(data, starts[filled], ends[filled], numbers[filled])
