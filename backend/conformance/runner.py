"""Publishes every case on a server and compares what comes through each door."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from app.engine.signature import Signature
from app.engine.tensors import element_of
from conformance import element_cases
from conformance.cases import Case
from conformance.compare import describe, same
from conformance.doors import Door, Published, Refused, is_tensors
from conformance.reference import NotRun, Reference, agrees


@dataclass(frozen=True, slots=True)
class Sample:
    """One data set of a case that ONNX Runtime reproduces."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    case: Case
    samples: tuple[Sample, ...]

    @property
    def has_tensors_only(self) -> bool:
        return all(is_tensors({**s.inputs, **s.outputs}) for s in self.samples)

    def elements(self) -> set[str]:
        """The names of the element types that flow in and out."""
        values = [v for s in self.samples for v in (s.inputs, s.outputs)]
        return set(_elements([list(value.values()) for value in values]))


@dataclass(frozen=True, slots=True)
class Result:
    """`misses` says for each door the case went through what was wrong, or None."""

    name: str
    kind: str
    elements: tuple[str, ...]
    tensors_only: bool
    misses: dict[str, str | None]


def prepare(cases: Sequence[Case]) -> list[Prepared]:
    """Those that ONNX Runtime itself loads and reproduces."""
    found = (_prepare(case) for case in cases)
    return [prepared for prepared in found if prepared is not None]


async def run(
    cases: Sequence[Prepared],
    client: httpx.AsyncClient,
    doors: Sequence[Door],
    *,
    concurrency: int,
    on_result: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """In the order of `cases`; `concurrency` of them are under way at once."""
    turns = asyncio.Semaphore(concurrency)

    async def one(prepared: Prepared) -> Result:
        async with turns:
            result = await _result(prepared, client, doors)
        on_result(result)
        return result

    return list(await asyncio.gather(*map(one, cases)))


def _prepare(case: Case) -> Prepared | None:
    try:
        reference = Reference(case.model)
        samples = [_sample(reference, case, *data) for data in case.data_sets]
    except NotRun:
        return None
    found = tuple(sample for sample in samples if sample is not None)
    return Prepared(case, found) if len(found) == len(samples) else None


def _sample(
    reference: Reference, case: Case, inputs: list[Any], expected: list[Any]
) -> Sample | None:
    """None where ONNX Runtime gives another result than ONNX expects."""
    feeds = {name: v for (name, _), v in zip(reference.inputs, inputs, strict=False)}
    if case.kind == element_cases.KIND:
        # What comes out is what went in; ONNX Runtime's Python API loses some bytes.
        names = [name for name, _ in reference.outputs]
        return Sample(feeds, dict(zip(names, expected, strict=True)))
    outputs = reference.run(inputs)
    if not agrees(list(outputs.values()), expected, case.rtol, case.atol):
        return None
    return Sample(feeds, outputs)


async def _result(
    prepared: Prepared, client: httpx.AsyncClient, doors: Sequence[Door]
) -> Result:
    case = prepared.case
    only = prepared.has_tensors_only
    used = [door for door in doors if only or door.takes_all]
    try:
        model = await _publish(client, case)
    except Refused as refusal:
        misses: dict[str, str | None] = {d.name: f"upload: {refusal}" for d in used}
    else:
        misses = {door.name: await _miss(door, model, prepared) for door in used}
    elements = tuple(sorted(prepared.elements()))
    return Result(case.name, case.kind, elements, only, misses)


async def _publish(client: httpx.AsyncClient, case: Case) -> Published:
    name = f"onnx.{case.kind}.{case.name}"
    response = await client.post(
        "/api/v1/models/upload",
        files={"file": ("model.onnx", case.model, "application/octet-stream")},
        data={"name": name},
    )
    if response.status_code not in (200, 201):
        raise Refused(f"{response.status_code}: {response.text[:300]}")
    said = response.json()
    schema = Signature.from_json(said["input_schema"], said["output_schema"])
    return Published(name, schema)


async def _miss(door: Door, model: Published, prepared: Prepared) -> str | None:
    for sample in prepared.samples:
        try:
            outputs = await door.call(model, sample.inputs)
        except Refused as refusal:
            return str(refusal)
        for name, wanted in sample.outputs.items():
            if not same(outputs.get(name), wanted):
                got = describe(outputs.get(name))
                return f"{name}: wanted {describe(wanted)}, got {got}"
    return None


def _elements(values: Any) -> Iterator[str]:
    if isinstance(values, np.ndarray):
        yield element_of(values).name
    elif isinstance(values, dict):
        yield from _elements(list(values.values()))
    elif isinstance(values, list):
        for value in values:
            yield from _elements(value)
