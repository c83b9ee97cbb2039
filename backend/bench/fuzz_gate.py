"""Sends changed model files to the gate: `python -m bench.fuzz_gate --minutes 30`.

Every file must end as a model that is taken or as a refusal, whatever becomes of the
process that validates it. Files that crash it are kept. Exit status 1 where anything
else happened in this process, which stands for the server.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psutil

from app.engine.inspect import Inspector
from app.engine.static_checks import check, parse
from app.errors import InvalidModel
from tests.mutations import mutants

_CRASH = re.compile(r"crashed \(signal (\d+)\)|ended without an answer|no sensible")
_SHARES = {
    "by ONNX Runtime": re.compile("^ONNX Runtime cannot load"),
    "by a limit": re.compile("did not (end|finish)|more than"),
}
_TOLD_EVERY_S = 30


@dataclass(slots=True)
class Findings:
    kept_in: Path
    endings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note_refusal(self, data: bytes, detail: str) -> None:
        crash = _CRASH.search(detail)
        if crash:
            self.endings[f"crashed: {crash[0]}"] += 1
            self._keep(data, detail)
            return
        shares = (name for name, how in _SHARES.items() if how.search(detail))
        self.endings[f"refused {next(shares, 'otherwise')}"] += 1

    def note_fault(self, data: bytes, where: str, error: Exception) -> None:
        self.endings["FAULT"] += 1
        self.faults.append(f"{where}: {error!r}")
        self._keep(data, f"{where}: {error!r}")

    def _keep(self, data: bytes, why: str) -> None:
        path = self.kept_in / sha256(data).hexdigest()[:16]
        path.with_suffix(".onnx").write_bytes(data)
        path.with_suffix(".txt").write_text(why)


def main() -> int:
    given = _arguments()
    given.keep.mkdir(parents=True, exist_ok=True)
    findings = Findings(given.keep)
    asyncio.run(_fuzz(findings, given.seed, 60 * given.minutes, given.jobs))
    _tell(findings, "done")
    for fault in findings.faults[:20]:
        _say(fault)
    return 1 if findings.faults else 0


async def _fuzz(findings: Findings, seed: int, limit_s: float, jobs: int) -> None:
    inspector = Inspector(
        timeout_s=10, cpu_s=5, memory_mb=1024, concurrency=jobs, spares=jobs
    )
    files, until = mutants(seed), time.monotonic() + limit_s
    async with inspector.ready(), asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(_work(inspector, files, findings, until))
        group.create_task(_report(findings, until))
    left = psutil.Process().children(recursive=True)
    if left:
        findings.faults.append(f"processes left behind: {left}")


async def _work(
    inspector: Inspector, files: Iterator[bytes], findings: Findings, until: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        while time.monotonic() < until:
            data = next(files)
            if _passes_a_look(data, findings):
                path.write_bytes(data)
                await _inspect(inspector, path, data, findings)
            else:
                await asyncio.sleep(0)


def _passes_a_look(data: bytes, findings: Findings) -> bool:
    """Looked at here too: cheaper, and a fault of ours is seen as one."""
    try:
        check(parse(data), {}, size_bytes=len(data))
    except InvalidModel:
        findings.endings["refused by a look"] += 1
        return False
    except Exception as error:
        findings.note_fault(data, "look", error)
        return False
    return True


async def _inspect(
    inspector: Inspector, path: Path, data: bytes, findings: Findings
) -> None:
    try:
        await inspector.inspect(path.parent)
    except InvalidModel as error:
        findings.note_refusal(data, error.detail)
    except Exception as error:
        findings.note_fault(data, "gate", error)
    else:
        findings.endings["taken"] += 1


async def _report(findings: Findings, until: float) -> None:
    while (left_s := until - time.monotonic()) > 0:
        await asyncio.sleep(min(_TOLD_EVERY_S, left_s))
        _tell(findings, f"{left_s:.0f} s left")


def _tell(findings: Findings, when: str) -> None:
    resident_mib = psutil.Process().memory_info().rss / 2**20
    _say(f"{when}: {dict(findings.endings)}, {resident_mib:.0f} MiB resident")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="files at the same time")
    parser.add_argument("--keep", type=Path, default=Path("crashes"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
