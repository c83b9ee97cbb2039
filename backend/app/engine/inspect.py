"""Validates an uploaded model in a process of its own that can be killed.

The parent never reads the file. What the child says is believed only as data.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from app.engine.inspection import Inspection, InspectionOrder
from app.engine.scratch import EmptyFolder, sweep
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
_PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class _Ending:
    """What the child said, and how it ended; `returncode` is None if it was killed."""

    answers: list[dict[str, Any]]
    returncode: int | None
    is_too_long: bool

    def said(self, what: str) -> Any:
        return next((answer[what] for answer in self.answers if what in answer), None)


class Inspector:
    """At most `concurrency` validations go on at once; `queue_limit` more may wait.

    `scratch` is where the children's working folders are made.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        cpu_s: int,
        memory_mb: int,
        concurrency: int,
        queue_limit: int = 32,
        scratch: Path | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._cpu_s = cpu_s
        self._memory_mb = memory_mb
        self._turns = asyncio.Semaphore(concurrency)
        self._under_way = 0
        self._most_under_way = concurrency + queue_limit
        self._scratch = scratch or Path(tempfile.gettempdir())
        sweep(self._scratch)

    async def inspect(self, directory: Path) -> Inspection:
        """What is in `directory`, that holds `model.onnx` and its companions.

        InvalidModel if ONNX Runtime cannot serve it within the limits, Overloaded
        if too many wait.
        """
        with self._counted():
            async with self._turns:
                order = await asyncio.to_thread(self._order, directory)
                async with _child(order, self._scratch) as child:
                    ending = await self._listen(child)
        return self._judge(ending)

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
            parent_pid=os.getpid(),
            memory_bytes=self._memory_mb * _MIB + _MEMORY_PER_FILE_BYTE * size_bytes,
            cpu_s=self._cpu_s,
            first_run_limit_s=self._timeout_s * _SHARE_OF_FIRST_RUN,
            run_limit_s=self._timeout_s * _SHARE_OF_ONE_RUN,
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
        *lines, _ = said.split(b"\n")
        answers = [json.loads(line) for line in lines]
        return _Ending(answers, returncode, len(said) > _LONGEST_ANSWER)

    def _judge(self, ending: _Ending) -> Inspection:
        if ending.is_too_long:
            raise InvalidModel("this model's names and metadata are larger than 8 MiB")
        fault, error, done, loaded = map(
            ending.said, ("fault", "error", "done", "loaded")
        )
        if done is not None:
            return Inspection.from_json(done)
        if error is not None:
            raise InvalidModel(error)
        if fault is not None:
            _log.error("validation failed: %s", ending.said("trace"))
            raise InvalidModel(f"this file could not be validated ({fault})")
        tried = ending.said("tried")
        if tried is not None and ending.returncode in _OUT_OF_TIME:
            return _not_proven(Inspection.from_json(loaded), tried, self._why(ending))
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


def _raise(setting: str) -> str:
    return f"; if that is meant, raise {setting}"


@asynccontextmanager
async def _child(order: InspectionOrder, scratch: Path) -> AsyncIterator[Process]:
    """The running child, in an empty folder; afterwards its whole group is gone."""
    empty = await asyncio.to_thread(EmptyFolder.new, scratch)
    try:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "app.engine.child"),
            json.dumps(order.as_json()),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd=empty.path,
            env=_environment(),
            start_new_session=True,
        )
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    finally:
        await asyncio.to_thread(empty.remove)


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "ORT_DISABLE_TELEMETRY": "1",
        # A thread of it would count 64 MiB of address space each.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


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
