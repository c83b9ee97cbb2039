"""What a load sends: requests that never repeat, ready to be written to a socket.

A request is a head, a slot and a tail. The generator fills the slot with a number that
counts up, inside the first value of the first input, so that each request is another
input of the same cost and no cache can know it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import orjson

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Mapping[str, Array]

TEMPLATES = 32
HEAD_LENGTH = 320  # Of binary bodies: padded, since one header names it for all.
DATATYPES = {"float32": "FP32", "int64": "INT64"}
# Stands where the slot will be; no other value of an input looks like it.
MARKS: dict[str, Array] = {
    "float32": np.array(0.7654321, np.float32),
    "int64": np.array(54_321, np.int64),
}


class Slot(StrEnum):
    """How a count is written: digits in JSON, bytes in binary."""

    FRACTION = "fraction"  # 7 digits behind "0."
    TOKEN = "token"  # 5 digits, 10000 to 29999
    FLOAT32 = "float32"  # the 3 low bytes of a number from 0.5 to 1
    INT64 = "int64"  # the 2 low bytes of a number from 256 to 25855

    @property
    def limit(self) -> int:
        """How many counts differ."""
        limits = {Slot.FRACTION: 10**7, Slot.TOKEN: 20_000, Slot.FLOAT32: 2**23}
        return limits.get(self, 25_600)

    def text(self, count: int) -> bytes:
        if self is Slot.FRACTION:
            return b"%07d" % (count % self.limit)
        if self is Slot.TOKEN:
            return b"%05d" % (10_000 + count % self.limit)
        if self is Slot.FLOAT32:
            return (count % self.limit).to_bytes(3, "little")
        return (256 + count % self.limit).to_bytes(2, "little")

    def number(self, count: int) -> float:
        """The value that a body has where `text(count)` stands."""
        if self is Slot.FRACTION:
            return (count % self.limit) / self.limit
        if self is Slot.FLOAT32:
            raw = self.text(count) + MARKS["float32"].tobytes()[3:]
            return float(np.frombuffer(raw, np.float32)[0])
        return (10_000 if self is Slot.TOKEN else 256) + count % self.limit


@dataclass(frozen=True, slots=True)
class Template:
    """One body around its slot."""

    head: bytes
    tail: bytes

    def body(self, slot: Slot, count: int) -> bytes:
        return self.head + slot.text(count) + self.tail


@dataclass(frozen=True, slots=True)
class Payload:
    """Bodies of one wire form for one model, and how they are posted."""

    form: str
    model: str
    batch: int
    path: str
    headers: Mapping[str, str]
    slot: Slot
    templates: tuple[Template, ...]

    def body(self, at: int) -> bytes:
        """The body number `at`; templates take turns."""
        turn, which = divmod(at, len(self.templates))
        return self.templates[which].body(self.slot, turn)

    def inputs(self, at: int) -> dict[str, Array]:
        """What the body number `at` says."""
        turn, which = divmod(at, len(self.templates))
        inputs = make_inputs(self.model, which, batch=self.batch)
        next(iter(inputs.values())).flat[0] = self.slot.number(turn)
        return inputs


def make_inputs(model: str, seed: int, *, batch: int = 1) -> dict[str, Array]:
    """Inputs of a bench model; the same seed gives the same. The first is marked."""
    random = np.random.default_rng(seed)
    if model == "encoder":
        length = int(random.integers(8, 128))
        ids = random.integers(1, 10_000, (batch, length), dtype=np.int64)
        inputs: dict[str, Array] = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
        }
    else:
        name, shape = SHAPES[model]
        values = random.standard_normal((batch, *shape), dtype=np.float32)
        inputs = {name: values.round(4)}
    first = next(iter(inputs.values()))
    first.flat[0] = MARKS[str(first.dtype)]
    return inputs


SHAPES: dict[str, tuple[str, tuple[int, ...]]] = {
    "tabular": ("input", (18,)),
    "mlp": ("x", (64,)),
    "big100": ("x", (64,)),
    "conv": ("image", (3, 224, 224)),
}

Write = Callable[[Inputs], bytes]


def payload(form: str, model: str, *, name: str = "bench", batch: int = 1) -> Payload:
    """`form`: v1-json, v2-json, v2-binary, inputs-json or named-json."""
    paths = {
        "v1-json": f"/api/v1/models/{name}/predict",
        "inputs-json": "/predict",
        "named-json": "/predict",
    }
    first = next(iter(make_inputs(model, 0).values()))
    binary = form == "v2-binary"
    count = 4 if first.nbytes > 100_000 else TEMPLATES
    bodies = [
        WRITERS[form](make_inputs(model, seed, batch=batch)) for seed in range(count)
    ]
    headers = {"Content-Type": "application/json"}
    if binary:
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(HEAD_LENGTH),
        }
    slot = _slot(str(first.dtype), binary=binary)
    templates = tuple(_template(body, slot) for body in bodies)
    path = paths.get(form, f"/v2/models/{name}/infer")
    return Payload(form, model, batch, path, headers, slot, templates)


def v1_json(inputs: Inputs) -> bytes:
    return _json({"input_data": {name: _short(a) for name, a in inputs.items()}})


def v2_json(inputs: Inputs) -> bytes:
    tensors = [
        {**_described(name, array), "data": _short(array.ravel())}
        for name, array in inputs.items()
    ]
    return _json({"inputs": tensors})


def v2_binary(inputs: Inputs) -> bytes:
    tensors = [
        {**_described(name, array), "parameters": {"binary_data_size": array.nbytes}}
        for name, array in inputs.items()
    ]
    head = _json({"parameters": {"binary_data_output": True}, "inputs": tensors})
    padded = head.ljust(HEAD_LENGTH)
    return b"".join([padded, *(array.tobytes() for array in inputs.values())])


def inputs_json(inputs: Inputs) -> bytes:
    return _json({"inputs": {name: _short(array) for name, array in inputs.items()}})


def named_json(inputs: Inputs) -> bytes:
    return _json({name: _short(array) for name, array in inputs.items()})


WRITERS: dict[str, Write] = {
    "v1-json": v1_json,
    "v2-json": v2_json,
    "v2-binary": v2_binary,
    "inputs-json": inputs_json,
    "named-json": named_json,
}


def _described(name: str, array: Array) -> dict[str, object]:
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": DATATYPES[str(array.dtype)],
    }


def _short(array: Array) -> list[Any]:
    """Lists whose numbers print as they were rounded: 0.1234, not 0.12340000271797."""
    if array.dtype == np.float32:
        array = array.astype(np.float64).round(7)
    found: list[Any] = array.tolist()
    return found


def _json(document: object) -> bytes:
    return orjson.dumps(document)


def _slot(dtype: str, *, binary: bool) -> Slot:
    if binary:
        return Slot.FLOAT32 if dtype == "float32" else Slot.INT64
    return Slot.FRACTION if dtype == "float32" else Slot.TOKEN


def _template(body: bytes, slot: Slot) -> Template:
    marks = {
        Slot.FRACTION: b"7654321",
        Slot.TOKEN: b"54321",
        Slot.FLOAT32: MARKS["float32"].tobytes()[:3],
        Slot.INT64: MARKS["int64"].tobytes()[:2],
    }
    head, found, tail = body.partition(marks[slot])
    if not found:
        raise ValueError(f"the body has no place for a {slot} slot")
    return Template(head, tail)
