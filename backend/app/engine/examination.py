"""What the validating child does with a stranger's model, once it has shut itself in."""

import locale
import mmap
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from onnx import ModelProto

from app.engine import report, sandbox
from app.engine.alarm import Alarm
from app.engine.inspection import Inspection, InspectionOrder
from app.engine.loading import MODEL_FILE, load_from_memory
from app.engine.proofs import Prover, Trouble
from app.engine.session import Session
from app.engine.static_checks import ModelFacts, check, parse
from app.errors import InferenceTimeout, InvalidModel, Unavailable

Say: TypeAlias = Callable[[dict[str, Any]], None]
Companions: TypeAlias = dict[str, mmap.mmap]


@dataclass(frozen=True, slots=True)
class Examination:
    """One model's. `shield` says what holds this process; `say` tells the parent.

    Raises InvalidModel, and Unavailable or MemoryError where loading takes too much.
    """

    order: InspectionOrder
    memory: report.MemoryMeter
    shield: dict[str, Any]
    alarm: Alarm
    say: Say

    def run(self) -> None:
        data, companions = _read_files(self.order.directory)
        size_bytes = len(data) + sum(map(len, companions.values()))
        model, facts = self._look(data, companions, size_bytes)
        _load_locales(facts.locales)
        sandbox.forbid_opening()

        unoptimised = _load_unoptimised(data, companions)
        started = time.perf_counter()
        session = load_from_memory(data, companions, threads=1)
        load_ms = _ms_since(started)
        found = self._describe(session, model, facts)
        del data, model
        self.say({"loaded": found.as_json()})

        proven = self._prove(session, found, facts)
        with_session = self.memory.resident_bytes()
        del session
        taken = max(with_session - self.memory.resident_bytes(), size_bytes)
        whole = {
            **found.report,
            **proven,
            "memory_bytes": taken,
            "budget": self.memory.budget(load_ms),
            "unoptimised": unoptimised,
        }
        self.say({"done": replace(found, report=whole).as_json()})

    def _look(
        self, data: bytes, companions: Companions, size_bytes: int
    ) -> tuple[ModelProto, ModelFacts]:
        model = parse(data)
        sizes = {name: len(file) for name, file in companions.items()}
        facts = check(model, sizes, size_bytes=size_bytes, domains=self.order.domains)
        return model, facts

    def _describe(
        self, session: Session, model: ModelProto, facts: ModelFacts
    ) -> Inspection:
        signature = report.with_scalars(session.signature, model)
        metadata = {item.key: item.value for item in model.metadata_props}
        return Inspection(
            signature,
            metadata,
            {**report.written_facts(model, facts), "sandbox": self.shield},
            report.find_feature_names(signature, metadata),
        )

    def _prove(
        self, session: Session, found: Inspection, facts: ModelFacts
    ) -> dict[str, Any]:
        prover = Prover(
            session,
            found.signature,
            run_limit_s=self.order.run_limit_s,
            alarm=self.alarm,
        )
        smallest = self._try_smallest(prover)
        # Whatever happens to this process now, it was not the smallest inputs' doing.
        self.say({"tried": report.dry_run(smallest)})
        # An error has the frames it passed through, and so the session: neither
        # outlives this call.
        return report.proven_facts(prover.prove(facts.random_operators, smallest))

    def _try_smallest(self, prover: Prover) -> Trouble | None:
        """InvalidModel if even the smallest inputs take more than there is."""
        doing = "running this model on the smallest inputs"
        limit_s = self.order.first_run_limit_s
        try:
            return prover.try_smallest(limit_s=limit_s)
        except Unavailable:
            limit_mb = self.order.memory_bytes // 2**20
            raise InvalidModel(
                f"{doing} needs more than {limit_mb} MB of memory; if that is meant, "
                "raise VALIDATION_MEMORY_MB"
            ) from None
        except InferenceTimeout:
            raise InvalidModel(
                f"{doing} did not end within {limit_s:g} s; if that is meant, raise "
                "VALIDATION_TIMEOUT_S"
            ) from None


def _load_unoptimised(data: bytes, companions: Companions) -> dict[str, Any]:
    """Loads the graph as it is written, before any optimiser sees it.

    A graph may need its optimisation to load, so that it does not is only noted.
    """
    started = time.perf_counter()
    try:
        load_from_memory(data, companions, threads=1, optimised=False)
    except InvalidModel as error:
        return {"loads": False, "error": error.detail, "load_ms": None}
    return {"loads": True, "error": None, "load_ms": _ms_since(started)}


def _ms_since(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 3)


def _read_files(directory: Path) -> tuple[bytes, Companions]:
    """The model, and its companions by name."""
    companions = {}
    for path in sorted(directory.iterdir()):
        if path.name != MODEL_FILE and path.is_file():
            companions[path.name] = _map_file(path)
    return (directory / MODEL_FILE).read_bytes(), companions


def _map_file(path: Path) -> mmap.mmap:
    if path.stat().st_size == 0:
        raise InvalidModel(f"the file `{path.name}` is empty")
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _load_locales(names: Collection[str]) -> None:
    """While files can be opened: nodes ask for these once none can be."""
    for name in sorted(names):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
    locale.setlocale(locale.LC_ALL, "C")
