"""The process that validates one uploaded model: `python -m app.engine.child ORDER`.

All it reads is a stranger's. It answers on stdout, a line of JSON each time it knows
more, and may be killed at any moment.
"""

import json
import locale
import mmap
import os
import sys
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.engine import report, sandbox
from app.engine.inspection import Inspection, InspectionOrder
from app.engine.loading import MODEL_FILE, load_from_memory
from app.engine.proofs import Prover, Trouble
from app.engine.static_checks import check, parse
from app.errors import InferenceTimeout, InvalidModel, Unavailable

Say = Callable[[dict[str, Any]], None]

_LOCALE_FOLDERS = (Path("/usr/lib/locale"), Path("/usr/share/locale"))


def main() -> None:
    order = InspectionOrder.from_json(json.loads(sys.argv[1]))
    say = _take_stdout()
    sandbox.die_with_parent(order.parent_pid)
    memory = report.MemoryMeter()
    sandbox.limit_resources(memory_bytes=order.memory_bytes, cpu_s=order.cpu_s)
    landlock = sandbox.confine([order.directory, *_LOCALE_FOLDERS])
    try:
        _inspect(order, memory, landlock, say)
    except (MemoryError, Unavailable):
        limit_mb = order.memory_bytes // 2**20
        say({"error": f"loading this model needs more than {limit_mb} MB of memory"})
    except InvalidModel as error:
        say({"error": error.detail})
    except Exception as error:
        # The last edge: nobody knows all that a stranger's file can do to the code
        # above, and the parent waits for an answer.
        say({"fault": type(error).__name__, "trace": traceback.format_exc()})


def _inspect(
    order: InspectionOrder, memory: report.MemoryMeter, landlock: int, say: Say
) -> None:
    data, companions = _read_files(order.directory)
    model = parse(data)
    size_bytes = len(data) + sum(map(len, companions.values()))
    sizes = {name: len(data) for name, data in companions.items()}
    facts = check(model, sizes, size_bytes=size_bytes)
    _load_locales(facts.locales)
    sandbox.forbid_opening()

    session = load_from_memory(data, companions, threads=1)
    signature = report.with_scalars(session.signature, model)
    metadata = {item.key: item.value for item in model.metadata_props}
    written = report.written_facts(model, facts)
    del data, model

    found = Inspection(
        signature,
        metadata,
        {**written, "sandbox": {"landlock": landlock}},
        report.find_feature_names(signature, metadata),
    )
    say({"loaded": found.as_json()})

    prover = Prover(session, signature, run_limit_s=order.run_limit_s)
    smallest = _try_smallest(prover, order)
    # Whatever happens to this process now, it was not the smallest inputs' doing.
    say({"tried": report.dry_run(smallest)})
    proven = report.proven_facts(prover.prove(facts.random_operators, smallest))
    with_session = memory.resident_bytes()
    # An error has the frames it passed through, and so the session.
    del prover, session, smallest
    taken = max(with_session - memory.resident_bytes(), size_bytes)
    whole = {**found.report, **proven, "memory_bytes": taken}
    say({"done": replace(found, report=whole).as_json()})


def _try_smallest(prover: Prover, order: InspectionOrder) -> Trouble | None:
    """InvalidModel if even the smallest inputs take more than there is."""
    doing = "running this model on the smallest inputs"
    try:
        return prover.try_smallest(limit_s=order.first_run_limit_s)
    except Unavailable:
        limit_mb = order.memory_bytes // 2**20
        raise InvalidModel(
            f"{doing} needs more than {limit_mb} MB of memory; if that is meant, raise "
            "VALIDATION_MEMORY_MB"
        ) from None
    except InferenceTimeout:
        raise InvalidModel(
            f"{doing} did not end within {order.first_run_limit_s:g} s; if that is "
            "meant, raise VALIDATION_TIMEOUT_S"
        ) from None


def _take_stdout() -> Say:
    """Keeps stdout for answers alone: ONNX Runtime sometimes prints there."""
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)

    def say(message: dict[str, Any]) -> None:
        left = memoryview(json.dumps(message).encode() + b"\n")
        while left:
            left = left[os.write(answers, left) :]

    return say


def _read_files(directory: Path) -> tuple[bytes, dict[str, mmap.mmap]]:
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


if __name__ == "__main__":
    main()
