"""ONNX's own cases through each door of a running server; `python -m conformance` runs
all of them."""

from typing import Any, ClassVar

import httpx
import numpy as np

from app.engine.signature import ValueSpec
from app.engine.tensors import ELEMENT_TYPES
from app.engine.value_types import parse_type
from conformance import element_cases, page
from conformance.cases import Case
from conformance.compare import same
from conformance.connections import opened_doors
from conformance.doors import Published, Refused
from conformance.report import Count, Report, summary
from conformance.runner import Prepared, Result, Sample, prepare, run
from conformance.sample import collect_sample
from tests.conftest import StartServer

DOORS = ["/api/v1 JSON", "/v2 JSON", "/v2 binary", "gRPC"]
# ONNX Runtime's CPU provider runs nothing of this type.
NOT_RUN = {"float4_e2m1fn"}


async def test_a_sample_of_the_cases_is_the_same_through_each_door(
    start_server: StartServer,
) -> None:
    server = start_server()
    cases = [*collect_sample(), *element_cases.collect()]
    prepared = prepare(cases)
    assert len(prepared) == len(cases) - len(NOT_RUN)
    async with opened_doors(server.url, server.grpc_target) as (client, doors):
        results = await run(prepared, client, doors, concurrency=4)

    missed = {
        (result.name, door): miss
        for result in results
        for door, miss in result.misses.items()
        if miss is not None
    }
    assert missed == {}
    report = report_of(results)
    assert list(report.doors) == DOORS
    assert report.doors["/api/v1 JSON"].of > report.doors["gRPC"].of > 30
    assert report.elements.keys() == {e.name for e in ELEMENT_TYPES} - NOT_RUN
    for counts in report.elements.values():
        assert all(count.of for count in counts.values())


def report_of(results: list[Result]) -> Report:
    return Report.of_run(results, DOORS, collected={}, versions={})


class Crooked:
    """A door that answers with what it is told to."""

    name: ClassVar = "crooked"
    takes_all: ClassVar = True

    def __init__(self, answer: dict[str, Any] | Refused) -> None:
        self._answer = answer

    async def call(self, _model: Published, _inputs: Any) -> dict[str, Any]:
        if isinstance(self._answer, Refused):
            raise self._answer
        return self._answer


WANTED = np.array([1.0, np.nan], dtype=np.float32)


async def miss_of(answer: dict[str, Any] | Refused, *, status: int = 201) -> str | None:
    """What is said of a server whose one door gives this answer."""
    spec = ValueSpec("y", parse_type("float32"), (2,))
    uploaded = {"input_schema": [], "output_schema": [spec.as_json()]}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=uploaded))
    case = Case("some", "node", b"", 0.0, 0.0, ())
    prepared = Prepared(case, (Sample({}, {"y": WANTED}),))
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        (result,) = await run([prepared], client, [Crooked(answer)], concurrency=1)
    return result.misses["crooked"]


async def test_an_answer_that_differs_is_a_miss() -> None:
    assert await miss_of({"y": WANTED.copy()}) is None
    for wrong in (
        WANTED.astype(np.float64),
        WANTED.reshape(1, 2),
        np.array([1.0, 0.0], dtype=np.float32),
        np.array([np.nextafter(np.float32(1), np.float32(2)), np.nan], np.float32),
        None,
    ):
        assert (await miss_of({"y": wrong}) or "").startswith("y: wanted float32 [2]")


async def test_a_refusal_is_a_miss() -> None:
    assert await miss_of(Refused("400: no")) == "400: no"
    assert (await miss_of({}, status=400) or "").startswith("upload: 400")


def test_zeros_differ_by_sign_and_nans_do_not_differ() -> None:
    zeros = np.array([0.0, -0.0])
    assert not same(zeros, zeros[::-1].copy())
    assert same(np.array([np.nan]), -np.array([np.nan]))
    assert not same(np.array(["a"], object), np.array(["b"], object))
    assert same([{"a": 1.0}], [{"a": 1.0}])
    assert not same([1, 2], [1])


def test_the_summary_names_what_was_missed() -> None:
    results = [
        Result("good", "node", ("float32",), True, {"a": None}),
        Result("bad", "node", ("float32",), True, {"a": "y: wanted 1, got 2"}),
    ]
    report = Report.of_run(results, ["a"], collected={"node": 3}, versions={})
    text = summary(report, results)
    assert "ONNX has 3 cases; ONNX Runtime reproduces 2" in text
    assert "1 of 2 the same" in text
    assert "MISS bad through a: y: wanted 1, got 2" in text
    assert report.elements == {"float32": {"a": Count(1, 2)}}


def test_the_page_is_what_the_last_counts_make() -> None:
    text = page.page(Report.read(page.RESULTS))
    assert page.PAGE.read_text() == text, "run: python -m conformance.page"


def test_the_last_full_run_missed_nothing() -> None:
    report = Report.read(page.RESULTS)
    assert list(report.doors) == DOORS
    for counts in (report.doors, *report.kinds.values(), *report.elements.values()):
        assert all(count.same == count.of for count in counts.values())
    assert report.tensors_only > 1800
