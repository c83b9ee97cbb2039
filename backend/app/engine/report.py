"""What validation writes down about a model."""

import json
import os
import re
import resource
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import onnxruntime as ort
from onnx import ModelProto, ValueInfoProto

from app.engine.memory import give_memory_back
from app.engine.proofs import Proofs, Trouble, explain
from app.engine.signature import Signature, ValueSpec
from app.engine.static_checks import ModelFacts
from app.errors import InvalidModel

_LONGEST_STATUS = 8192


class MemoryMeter:
    """The size of this process, also once it can open no file."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._at_first_bytes = self.resident_bytes()
        self._cpu_at_first_s = time.process_time()

    def resident_bytes(self) -> int:
        """Without what was freed before."""
        give_memory_back()
        pages = os.pread(self._statm, 200, 0).split()[1]
        return int(pages) * resource.getpagesize()

    def budget(self, load_ms: float) -> dict[str, Any]:
        """What the model took of this process since the meter was made."""
        return {
            "load_ms": load_ms,
            "cpu_ms": round(1000 * (time.process_time() - self._cpu_at_first_s), 3),
            "peak_memory_bytes": max(0, self._peak_bytes() - self._at_first_bytes),
        }

    def _peak_bytes(self) -> int:
        status = os.pread(self._status, _LONGEST_STATUS, 0)
        found = re.search(rb"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0


def written_facts(model: ModelProto, facts: ModelFacts) -> dict[str, Any]:
    """What the file says of itself."""
    return {
        "onnxruntime": ort.__version__,
        "ir_version": model.ir_version,
        "opsets": {item.domain: item.version for item in model.opset_import},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "parameter_count": facts.parameter_count,
        "node_count": facts.node_count,
        "class_labels": class_labels(model),
        "bounded_cost": facts.bounded_cost,
    }


def class_labels(model: ModelProto) -> dict[str, list[str] | list[int]]:
    """The keys of the maps that a ZipMap makes, by the output it makes them for."""
    outputs = {info.name for info in model.graph.output}
    found: dict[str, list[str] | list[int]] = {}
    for node in model.graph.node:
        if node.op_type != "ZipMap" or not outputs.intersection(node.output):
            continue
        for attribute in node.attribute:
            if attribute.name == "classlabels_int64s":
                found[node.output[0]] = list(attribute.ints)
            elif attribute.name == "classlabels_strings":
                found[node.output[0]] = list(map(_label, attribute.strings))
    return found


def _label(written: bytes) -> str:
    label = written.decode(errors="replace")
    if "\0" in label:
        raise InvalidModel(f"this model has a class label with a zero byte: {label!r}")
    return label


def proven_facts(proofs: Proofs) -> dict[str, Any]:
    """What running it showed."""
    return {
        "deterministic": proofs.deterministic.holds,
        "deterministic_reason": proofs.deterministic.reason,
        "batchable": proofs.batchable.holds,
        "batchable_reason": proofs.batchable.reason,
        "latency_ms": proofs.latency_ms,
        "dry_run": dry_run(proofs.trouble),
    }


def dry_run(trouble: Trouble | None) -> dict[str, Any]:
    return {"ok": trouble is None, "error": trouble and explain(trouble)}


def with_scalars(signature: Signature, model: ModelProto) -> Signature:
    """The signature with `[]` as the shape of scalars.

    ONNX Runtime tells no scalar from a tensor of unknown rank; the file does.
    """
    scalars = {
        info.name
        for info in (*model.graph.input, *model.graph.output)
        if _is_scalar(info)
    }
    return Signature(
        tuple(_with_scalar(spec, scalars) for spec in signature.inputs),
        tuple(_with_scalar(spec, scalars) for spec in signature.outputs),
    )


def find_feature_names(
    signature: Signature, metadata: Mapping[str, str]
) -> tuple[str, ...] | None:
    """The file's `feature_names`, if they fit the columns of its one input."""
    try:
        names = json.loads(metadata.get("feature_names", "null"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        return None
    if len(signature.inputs) != 1 or not names:
        return None
    shape = signature.inputs[0].shape
    if shape is None or len(shape) != 2:
        return None
    fits = not isinstance(shape[1], int) or shape[1] == len(names)
    return tuple(names) if fits else None


def _with_scalar(spec: ValueSpec, scalars: Collection[str]) -> ValueSpec:
    is_scalar = spec.shape is None and spec.name in scalars
    return replace(spec, shape=()) if is_scalar else spec


def _is_scalar(info: ValueInfoProto) -> bool:
    if not info.type.HasField("tensor_type"):
        return False
    tensor = info.type.tensor_type
    return tensor.HasField("shape") and not tensor.shape.dim
