"""What each wire form costs: bytes to tensors, and tensors to bytes, nothing else.

    python -m bench.codecs [--seconds 0.3] [--out FILE]

Beside them `json` and orjson with numpy, which check nothing. The best of many tries
is shown, for other work on the machine only ever adds.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.codecs.base import Answer, Target
from app.codecs.json_values import OPTIONS
from app.engine.values import Array
from bench.codec_bodies import (
    COLUMNS,
    NAMES,
    Form,
    numbers,
    table_forms,
    target,
    tensor_forms,
    tensor_json,
)

TENSORS = ((1, 18), (1, 2000), (1, 3, 224, 224), (8, 3, 224, 224))
TABLES = (1, 111, 8_334, 66_667)
ORJSON = "orjson + numpy"


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds to read a request of `size` bytes and to write the answer to it."""

    name: str
    numbers: int
    size: int
    decode_s: float
    encode_s: float


def tensor_lines(seconds: float) -> Iterator[Line]:
    """A tensor in, a tensor of the same numbers out."""
    for shape in TENSORS:
        array = numbers(shape)
        body = tensor_json(array)
        for name, read, write in _BASELINES:
            yield Line(
                name,
                array.size,
                len(body),
                _best_s(partial(_plainly, read, body), seconds),
                _best_s(partial(write, array), seconds),
            )
        for form in tensor_forms(array):
            yield _line(form, array, target(("N", *shape[1:])), seconds)


def table_lines(seconds: float) -> Iterator[Line]:
    """Rows of named features in, rows of as many numbers out."""
    for rows in TABLES:
        array = numbers((rows, COLUMNS))
        for form in table_forms(array):
            yield _line(form, array, target(("N", COLUMNS), NAMES), seconds)


def page(lines: list[Line]) -> str:
    """A Markdown table, one row for each form, one column for each size."""
    sizes = sorted({line.numbers for line in lines})
    heads = " | ".join(f"{size:,}" for size in sizes)
    text = [f"| in / out | {heads} |", f"| --- |{' --- |' * len(sizes)}"]
    for name in dict.fromkeys(line.name for line in lines):
        cells = [_cell(line, lines) for line in lines if line.name == name]
        text.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*text, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.codecs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = "\n".join(
        [
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}, orjson {orjson.__version__}, numpy "
            f"{np.__version__}. In brackets: how many times as fast as orjson.",
            "",
            page(list(tensor_lines(options.seconds))),
            page(list(table_lines(options.seconds))),
        ]
    )
    if options.out:
        options.out.write_text(text)
    sys.stdout.write(text)


def _line(form: Form, array: Array, target: Target, seconds: float) -> Line:
    asked = form.codec.decode(form.body, target)
    (read,) = asked.inputs.values()
    assert isinstance(read, np.ndarray)
    assert np.array_equal(read, array)
    answer = Answer(target, asked, {"y": array}, 1.0, False)
    return Line(
        form.name,
        array.size,
        len(form.body),
        _best_s(partial(form.codec.decode, form.body, target), seconds),
        _best_s(partial(form.codec.encode, answer), seconds),
    )


def _plainly(read: Callable[[bytes], Any], body: bytes) -> Array:
    return np.array(read(body)["input_data"]["x"], dtype=np.float32)


def _json(array: Array) -> bytes:
    return json.dumps(array.tolist()).encode()


_BASELINES: tuple[tuple[str, Callable[[bytes], Any], Callable[[Array], bytes]], ...] = (
    ("json + numpy", json.loads, _json),
    (ORJSON, orjson.loads, partial(orjson.dumps, option=OPTIONS)),
)


def _best_s(call: Callable[[], object], seconds: float) -> float:
    best, stop_at = float("inf"), time.perf_counter() + seconds
    tries = 0
    while tries < 3 or time.perf_counter() < stop_at:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
        tries += 1
    return best


def _cell(line: Line, lines: list[Line]) -> str:
    times = f"{_shown(line.decode_s)} / {_shown(line.encode_s)}"
    for other in lines:
        if other.name == ORJSON and other.numbers == line.numbers:
            faster = other.decode_s / line.decode_s
            return f"{times} ({faster:.1f})"
    return times


def _shown(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


if __name__ == "__main__":
    main()
