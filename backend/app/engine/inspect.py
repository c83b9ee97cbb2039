"""Validates an uploaded model in a process of its own that can be killed.

The parent never reads the file. What the child says is believed only as data.
"""

import asyncio
import json
import logging
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Self

from app.engine.children import Children
from app.engine.inspection import (
    Inspection,
    InspectionOrder,
    NotUnderstood,
    read_answer,
    read_inspection,
)
from app.engine.operators import DOMAINS
from app.errors import InvalidModel, Overloaded

_log = logging.getLogger(__name__)

_MIB = 2**20
# A model's signature and metadata; the largest real ones have some 100 kB.
_LONGEST_ANSWER = 8 * _MIB
_MEMORY_PER_FILE_BYTE = 4
_SHARE_OF_FIRST_RUN = 1 / 2
_SHARE_OF_ONE_RUN = 1 / 6
# What a child that went on for too long returns: killed by us, or by its CPU limit.
_OUT_OF_TIME = (None, -signal.SIGXCPU)


@dataclass(frozen=True, slots=True)
class _Ending:
    """What the child said, and how it ended; `returncode` is None if it was killed."""

    answers: list[dict[str, Any]]
    returncode: int | None
    is_too_long: bool

    @classmethod
    def of(cls, said: bytes, returncode: int | None) -> Self:
        *lines, _ = said.split(b"\n")
        is_too_long = len(said) > _LONGEST_ANSWER
        answers = [] if is_too_long else list(map(read_answer, lines))
        return cls(answers, returncode, is_too_long)

    def said(self, what: str) -> Any:
        return next((answer[what] for answer in self.answers if what in answer), None)


class Inspector:
    """At most `concurrency` validations go on at once; `queue_limit` more may wait.

    `spares` processes are kept ready for the next while it is `ready`. `domains` are
    those whose operators are allowed. `scratch` is where the children's working folders
    are made.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        cpu_s: int,
        memory_mb: int,
        concurrency: int,
        queue_limit: int = 32,
        spares: int = 0,
        domains: Collection[str] = DOMAINS,
        scratch: Path | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._cpu_s = cpu_s
        self._memory_mb = memory_mb
        self._turns = asyncio.Semaphore(concurrency)
        self._under_way = 0
        self._most_under_way = concurrency + queue_limit
        self._domains = tuple(domains)
        self._children = Children(
            spares=spares, scratch=scratch or Path(tempfile.gettempdir())
        )

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Spare processes are there from soon on until the block is left."""
        self._children.open()
        try:
            yield
        finally:
            await self._children.close()

    async def inspect(self, directory: Path) -> Inspection:
        """What is in `directory`, that holds `model.onnx` and its companions.

        InvalidModel if ONNX Runtime cannot serve it within the limits, Overloaded
        if too many wait.
        """
        with self._counted():
            async with self._turns:
                order = await asyncio.to_thread(self._order, directory)
                try:
                    return self._judge(await self._answer_to(order))
                except NotUnderstood:
                    _log.error("validation gave an answer that is none: %s", directory)
                    raise InvalidModel(_NOT_UNDERSTOOD) from None

    async def _answer_to(self, order: InspectionOrder) -> _Ending:
        """A spare may have died meanwhile, which is not the model's doing: twice."""
        ending = await self._ask(order)
        if ending.said("begun") is None and ending.returncode is not None:
            ending = await self._ask(order)
        return ending

    async def _ask(self, order: InspectionOrder) -> _Ending:
        child = await self._children.take()
        try:
            await child.tell(json.dumps(order.as_json()))
            return await self._listen(child.process)
        finally:
            await child.end()
            self._children.refill()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._under_way >= self._most_under_way:
            raise Overloaded(
                f"{self._under_way} models are being validated or wait for it, which is "
                "the limit; try again later",
                retry_after_s=ceil(self._timeout_s),
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def _order(self, directory: Path) -> InspectionOrder:
        size_bytes = sum(path.stat().st_size for path in directory.iterdir())
        return InspectionOrder(
            directory=directory.resolve(),
            memory_bytes=self._memory_mb * _MIB + _MEMORY_PER_FILE_BYTE * size_bytes,
            cpu_s=self._cpu_s,
            first_run_limit_s=self._timeout_s * _SHARE_OF_FIRST_RUN,
            run_limit_s=self._timeout_s * _SHARE_OF_ONE_RUN,
            domains=self._domains,
        )

    async def _listen(self, child: Process) -> _Ending:
        assert child.stdout is not None
        said = bytearray()
        returncode = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                while part := await child.stdout.read(_MIB):
                    said += part
                    if len(said) > _LONGEST_ANSWER:
                        break
                else:
                    returncode = await child.wait()
        return _Ending.of(bytes(said), returncode)

    def _judge(self, ending: _Ending) -> Inspection:
        if ending.is_too_long:
            raise InvalidModel("this model's names and metadata are larger than 8 MiB")
        fault, error, done, loaded = map(
            ending.said, ("fault", "error", "done", "loaded")
        )
        if done is not None:
            return read_inspection(done)
        if error is not None:
            raise InvalidModel(str(error))
        if fault is not None:
            _log.error("validation failed: %s", ending.said("trace"))
            raise InvalidModel(f"this file could not be validated ({fault})")
        tried = ending.said("tried")
        if tried is not None and ending.returncode in _OUT_OF_TIME:
            return _not_proven(read_inspection(loaded), tried, self._why(ending))
        raise InvalidModel(self._why(ending))

    def _why(self, ending: _Ending) -> str:
        """Why the child ended without its last word."""
        is_loaded = ending.said("loaded") is not None
        doing = (
            "running this model on made-up inputs"
            if ending.said("tried") is not None
            else "running this model on the smallest inputs"
            if is_loaded
            else "loading this model"
        )
        code = ending.returncode
        if code is None and is_loaded:
            limit = f"{self._timeout_s:g} s"
            return f"{doing} did not end within {limit}{_raise('VALIDATION_TIMEOUT_S')}"
        if code is None:
            limit = f"{self._timeout_s:g} s"
            return (
                f"ONNX Runtime did not finish loading this file within {limit}"
                f"{_raise('VALIDATION_TIMEOUT_S')}"
            )
        if code >= 0:
            return f"{doing} ended without an answer (exit status {code})"
        if code == -signal.SIGXCPU:
            limit = f"{self._cpu_s} s of CPU time"
            return f"{doing} took more than {limit}{_raise('VALIDATION_CPU_S')}"
        if code == -signal.SIGKILL:
            return f"{doing} was ended by the system, most likely for want of memory"
        return f"ONNX Runtime crashed (signal {-code}) while {doing}"


_NOT_UNDERSTOOD = (
    "this file could not be validated: the process that did so gave no sensible answer"
)


def _raise(setting: str) -> str:
    return f"; if that is meant, raise {setting}"


def _not_proven(found: Inspection, tried: dict[str, Any], why: str) -> Inspection:
    unknown = {
        "deterministic": None,
        "deterministic_reason": why,
        "batchable": None,
        "batchable_reason": why,
        "latency_ms": None,
        "memory_bytes": None,
        "dry_run": tried,
    }
    return replace(found, report={**found.report, **unknown})
